"""InitProducerId (key 22), versions 0 to 5.

v2 flexible. v3 producer id and epoch of the caller (KIP-360). v4 PRODUCER_FENCED. v5 for
transactions of version 2. Without a transactional id the answer is always a new id, and an id
without an epoch, or the other way round, is refused, as in Kafka.
Absent: transactions. A transactional id is refused with TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
which every client treats as fatal, so that none of them waits for a coordinator.
"""

from typing import TYPE_CHECKING

from tierbroker.base.errors import ApiError
from tierbroker.broker.api import RequestContext
from tierbroker.wire.error_codes import ErrorCode, code_of
from tierbroker.wire.messages.init_producer_id import (
    InitProducerIdRequest,
    InitProducerIdResponse,
)

if TYPE_CHECKING:
    from tierbroker.base.pending import Pending


async def handle(request: InitProducerIdRequest, context: RequestContext) -> InitProducerIdResponse:
    """Give out a producer id at epoch 0."""
    if request.transactional_id is not None:
        error = (
            ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
            if request.transactional_id
            else ErrorCode.INVALID_REQUEST
        )
        return InitProducerIdResponse(error_code=error, producer_epoch=-1)
    if (request.producer_id == -1) != (request.producer_epoch == -1):
        return InitProducerIdResponse(error_code=ErrorCode.INVALID_REQUEST, producer_epoch=-1)
    waiting: Pending[int] = context.broker.producer_ids.next()
    try:
        producer_id = await waiting
    except ApiError as error:
        return InitProducerIdResponse(error_code=code_of(error), producer_epoch=-1)
    return InitProducerIdResponse(producer_id=producer_id, producer_epoch=0)
