"""FindCoordinator (key 10), versions 0 to 6.

v1 key types. v3 flexible. v4 several keys. v5 TRANSACTION_ABORTABLE. v6 share groups.

The first question about a group makes `__consumer_offsets`; the answers then wait until its groups
can be asked, where Kafka sends the client round again. An earlier answer would send clients to a
broker that does not know yet that it coordinates their group, and librdkafka then waits seconds.
Absent: transactions and share groups. A transactional id is refused with its authorization error,
which clients treat as fatal, so that none waits for a coordinator that will not come.
"""

import logging
from collections.abc import Coroutine
from typing import Any

from tierbroker.base.errors import ApiError, TopicAlreadyExistsError
from tierbroker.base.pending import Pending
from tierbroker.broker.api import RequestContext
from tierbroker.broker.services import BrokerServices
from tierbroker.broker.topic_creation import create_automatically
from tierbroker.controller.state.topics import OFFSETS_TOPIC
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.find_coordinator import (
    Coordinator,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
)

logger = logging.getLogger(__name__)

_BATCH_FROM = 4
_GROUP, _TRANSACTION = 0, 1
_PATIENCE = 40
"""Ticks (0.2 s) in which shards may load before they are named: enough for those of a new topic.
Who has to load more says COORDINATOR_LOAD_IN_PROGRESS itself."""


def handle(
    request: FindCoordinatorRequest, context: RequestContext
) -> FindCoordinatorResponse | Coroutine[Any, Any, FindCoordinatorResponse]:
    """Say who coordinates each key."""
    if request.key_type == _GROUP and not _is_ready(context.broker):
        return _make_ready_and_answer(request, context)
    return _answer(request, context)


def _is_ready(broker: BrokerServices) -> bool:
    return not _is_missing(broker) and broker.groups.loaded


def _is_missing(broker: BrokerServices) -> bool:
    """While it is being made, others see the topic in the metadata already."""
    return OFFSETS_TOPIC in broker.auto_creating or broker.image.topic(OFFSETS_TOPIC) is None


async def _make_ready_and_answer(
    request: FindCoordinatorRequest, context: RequestContext
) -> FindCoordinatorResponse:
    broker = context.broker
    if _is_missing(broker):
        try:
            await create_automatically(broker, OFFSETS_TOPIC)
        except TopicAlreadyExistsError:
            pass  # somebody else made it in the meantime
        except ApiError as error:
            # Clients ask again; a person finds the reason here.
            logger.error("%s cannot be created: %s", OFFSETS_TOPIC, error)
    for _ in range(_PATIENCE):
        if broker.groups.loaded:
            break
        later = _Later()
        broker.deadlines.add(later, 0.0)
        await later.come
    return _answer(request, context)


class _Later:
    """The next tick of the deadlines, to wait for."""

    __slots__ = ("come",)

    def __init__(self) -> None:
        self.come: Pending[None] = Pending()

    def expire(self) -> None:
        self.come.resolve(None)


def _answer(request: FindCoordinatorRequest, context: RequestContext) -> FindCoordinatorResponse:
    if context.api_version >= _BATCH_FROM:
        return FindCoordinatorResponse(
            coordinators=[
                _coordinator(request.key_type, key, context) for key in request.coordinator_keys
            ]
        )
    found = _coordinator(request.key_type, request.key, context)
    return FindCoordinatorResponse(
        error_code=found.error_code,
        # Kafka says so in these versions, as text.
        error_message=found.error_message or ErrorCode.NONE.name,
        node_id=found.node_id,
        host=found.host,
        port=found.port,
    )


def _coordinator(key_type: int, key: str, context: RequestContext) -> Coordinator:
    if key_type == _TRANSACTION:
        error = ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        return _refused(key, error, "transactions are not available")
    if key_type != _GROUP:
        message = "this kind of coordinator is not available"
        return _refused(key, ErrorCode.INVALID_REQUEST, message)
    broker = context.broker
    topic = broker.image.topic(OFFSETS_TOPIC)
    index = broker.groups.partition_for(key)
    # Somebody who made the topic by hand may have given it fewer partitions.
    if topic is not None and index < len(topic.partitions):
        leader = topic.partitions[index].leader
        endpoint = broker.endpoint_of(leader, context.peer.listener_name)
        if endpoint is not None:
            return Coordinator(key=key, node_id=leader, host=endpoint.host, port=endpoint.port)
    return _refused(key, ErrorCode.COORDINATOR_NOT_AVAILABLE, "no broker leads the group's offsets")


def _refused(key: str, error: ErrorCode, message: str) -> Coordinator:
    return Coordinator(
        key=key, node_id=-1, host="", port=-1, error_code=error, error_message=message
    )
