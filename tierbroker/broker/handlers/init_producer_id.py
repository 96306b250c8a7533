"""InitProducerId (key 22), versions 0 to 5.

v2 flexible. v3 producer id and epoch of the caller (KIP-360). v4 PRODUCER_FENCED. v5 for
transactions of version 2. Without a transactional id the answer is always a new id, and an id
without an epoch, or the other way round, is refused, as in Kafka. With one, the transaction
coordinator answers: it ends what an earlier producer of the name left open.
"""

from tierbroker.base.errors import ApiError
from tierbroker.base.pending import Pending
from tierbroker.broker.api import RequestContext
from tierbroker.broker.transaction_errors import INIT_KNOWS_FENCED_SINCE, translated
from tierbroker.wire.error_codes import ErrorCode, code_of
from tierbroker.wire.messages.init_producer_id import (
    InitProducerIdRequest,
    InitProducerIdResponse,
)

_NONE = -1


def handle(
    request: InitProducerIdRequest, context: RequestContext
) -> InitProducerIdResponse | Pending[InitProducerIdResponse]:
    """Give out a producer id at epoch 0, or the id and next epoch of a transactional id."""
    if (request.producer_id == _NONE) != (request.producer_epoch == _NONE):
        return _refused(ErrorCode.INVALID_REQUEST)
    if request.transactional_id is None:
        return _new_id(context)
    answer = context.broker.transactions.init_producer_id(request, context.api_version)
    return answer if context.api_version >= INIT_KNOWS_FENCED_SINCE else translated(answer)


def _new_id(context: RequestContext) -> Pending[InitProducerIdResponse]:
    answer: Pending[InitProducerIdResponse] = Pending()

    def given(done: Pending[int]) -> None:
        try:
            producer_id = done.result()
        except ApiError as error:
            answer.resolve(_refused(code_of(error)))
        else:
            answer.resolve(InitProducerIdResponse(producer_id=producer_id, producer_epoch=0))

    context.broker.producer_ids.next().on_done(given)
    return answer


def _refused(error: ErrorCode) -> InitProducerIdResponse:
    return InitProducerIdResponse(error_code=error, producer_epoch=_NONE)
