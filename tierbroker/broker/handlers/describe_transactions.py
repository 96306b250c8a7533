"""DescribeTransactions (key 65), version 0: state, producer and partitions of transactional ids.

Each id is described once, however often it is named. Many of them take several turns.
"""

from tierbroker.base.pending import Pending
from tierbroker.base.turns import at_once_or_later
from tierbroker.broker.api import RequestContext
from tierbroker.wire.messages.describe_transactions import (
    DescribeTransactionsRequest,
    DescribeTransactionsResponse,
)


def handle(
    request: DescribeTransactionsRequest, context: RequestContext
) -> DescribeTransactionsResponse | Pending[DescribeTransactionsResponse]:
    """Each id with its own error."""
    return at_once_or_later(_describe(request, context))


async def _describe(
    request: DescribeTransactionsRequest, context: RequestContext
) -> DescribeTransactionsResponse:
    turns = context.broker.turns()
    told: set[str] = set()
    response = DescribeTransactionsResponse(transaction_states=[])
    for transactional_id in request.transactional_ids:
        rows = 1
        if transactional_id not in told:
            told.add(transactional_id)
            for state in context.broker.transactions.describe([transactional_id]):
                response.transaction_states.append(state)
                rows += sum(len(topic.partitions) for topic in state.topics)
        await turns.after(rows)
    return response
