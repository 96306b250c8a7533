"""DescribeTransactions (key 65), version 0: state, producer and partitions of transactional ids.

Each id is described once, however often it is named. Many of them take several turns.
"""

import asyncio

from tierbroker.broker.api import RequestContext
from tierbroker.wire.messages.describe_transactions import (
    DescribeTransactionsRequest,
    DescribeTransactionsResponse,
)

_IDS_PER_TURN = 256


async def handle(
    request: DescribeTransactionsRequest, context: RequestContext
) -> DescribeTransactionsResponse:
    """Each id with its own error."""
    ids = list(dict.fromkeys(request.transactional_ids))
    response = DescribeTransactionsResponse(transaction_states=[])
    for start in range(0, len(ids), _IDS_PER_TURN):
        if start:
            await asyncio.sleep(0)
        asked = ids[start : start + _IDS_PER_TURN]
        response.transaction_states += context.broker.transactions.describe(asked)
    return response
