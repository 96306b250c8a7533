"""ListTransactions (key 66), versions 0 to 2: the transactional ids that this broker coordinates.

Filters by state and producer id; v1 by age of the transaction, v2 by a pattern of the id.
"""

from tierbroker.base.pending import Pending
from tierbroker.broker.api import RequestContext
from tierbroker.wire.messages.list_transactions import (
    ListTransactionsRequest,
    ListTransactionsResponse,
)


def handle(
    request: ListTransactionsRequest, context: RequestContext
) -> Pending[ListTransactionsResponse]:
    """All ids that pass the filters."""
    return context.broker.transactions.list_transactions(request, context.api_version)
