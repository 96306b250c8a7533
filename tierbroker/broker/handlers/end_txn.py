"""EndTxn (key 26), versions 0 to 5.

v2 PRODUCER_FENCED. v3 flexible. v4 TRANSACTION_ABORTABLE. v5 is for transactions of version 2: the
answer says under which id and epoch the producer goes on. While the transaction before completes
the answer is CONCURRENT_TRANSACTIONS, which clients retry.
"""

from tierbroker.base.pending import Pending
from tierbroker.broker.api import RequestContext
from tierbroker.broker.transaction_errors import TRANSACTION_KNOWS_FENCED_SINCE, translated
from tierbroker.wire.messages.end_txn import EndTxnRequest, EndTxnResponse


def handle(request: EndTxnRequest, context: RequestContext) -> Pending[EndTxnResponse]:
    """Commit or abort; answered when that is decided for good, before all markers are written."""
    answer = context.broker.transactions.end_txn(request, context.api_version)
    return answer if context.api_version >= TRANSACTION_KNOWS_FENCED_SINCE else translated(answer)
