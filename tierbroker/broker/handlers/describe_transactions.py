"""DescribeTransactions (key 65), version 0: state, producer and partitions of transactional ids."""

from tierbroker.broker.api import RequestContext
from tierbroker.wire.messages.describe_transactions import (
    DescribeTransactionsRequest,
    DescribeTransactionsResponse,
)


def handle(
    request: DescribeTransactionsRequest, context: RequestContext
) -> DescribeTransactionsResponse:
    """Each id with its own error."""
    states = context.broker.transactions.describe(request.transactional_ids)
    return DescribeTransactionsResponse(transaction_states=states)
