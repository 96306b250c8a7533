"""FindCoordinator (key 10), versions 0 to 6.

v1 key types. v3 flexible. v4 several keys. v5 TRANSACTION_ABORTABLE. v6 share groups.

The first question about a group makes `__consumer_offsets`, and that about a transactional id
`__transaction_state`; the answers then wait until the coordinator can be asked, where Kafka sends
the client round again. An earlier answer would send clients to a broker that does not know yet
that it coordinates their group, and librdkafka then waits seconds. Absent: share groups.
"""

import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from tierbroker.base.errors import ApiError, TopicAlreadyExistsError
from tierbroker.base.pending import Pending
from tierbroker.base.story import tell
from tierbroker.base.turns import at_once_or_later
from tierbroker.broker.api import RequestContext
from tierbroker.broker.services import BrokerServices
from tierbroker.broker.topic_creation import create_automatically
from tierbroker.controller.state.topics import OFFSETS_TOPIC, TRANSACTION_STATE_TOPIC
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


class _Coordinator(Protocol):
    @property
    def loaded(self) -> bool: ...

    def partition_for(self, key: str, /) -> int: ...


@dataclass(frozen=True, slots=True)
class _Kind:
    """Who coordinates keys of one type, and the topic whose partitions' leaders do so."""

    coordinator: _Coordinator
    topic: str

    def is_missing(self, broker: BrokerServices) -> bool:
        """While it is being made, others see the topic in the metadata already."""
        return self.topic in broker.auto_creating or broker.image.topic(self.topic) is None

    def is_ready(self, broker: BrokerServices) -> bool:
        """Whether keys can be answered at once."""
        return not self.is_missing(broker) and self.coordinator.loaded


def handle(
    request: FindCoordinatorRequest, context: RequestContext
) -> (
    FindCoordinatorResponse
    | Pending[FindCoordinatorResponse]
    | Coroutine[Any, Any, FindCoordinatorResponse]
):
    """Say who coordinates each key; many of them take several turns."""
    broker = context.broker
    kind = None
    if request.key_type == _GROUP:
        kind = _Kind(broker.groups, OFFSETS_TOPIC)
    elif request.key_type == _TRANSACTION:
        kind = _Kind(broker.transactions, TRANSACTION_STATE_TOPIC)
    if kind is None or kind.is_ready(broker):
        return at_once_or_later(_answer(request, kind, context))
    return _make_ready_and_answer(request, kind, context)


async def _make_ready_and_answer(
    request: FindCoordinatorRequest, kind: _Kind, context: RequestContext
) -> FindCoordinatorResponse:
    broker = context.broker
    if kind.is_missing(broker):
        try:
            await create_automatically(broker, kind.topic)
        except TopicAlreadyExistsError:
            pass  # somebody else made it in the meantime
        except ApiError as error:
            # Clients ask again; a person finds the reason here.
            logger.error("%s cannot be created: %s", kind.topic, error)
    for _ in range(_PATIENCE):
        if kind.coordinator.loaded:
            break
        later = _Later()
        broker.deadlines.add(later, 0.0)
        await later.come
    return await tell(_answer(request, kind, context))


class _Later:
    """The next tick of the deadlines, to wait for."""

    __slots__ = ("come",)

    def __init__(self) -> None:
        self.come: Pending[None] = Pending()

    def expire(self) -> None:
        self.come.resolve(None)


async def _answer(
    request: FindCoordinatorRequest, kind: _Kind | None, context: RequestContext
) -> FindCoordinatorResponse:
    if context.api_version >= _BATCH_FROM:
        turns = context.broker.turns()
        response = FindCoordinatorResponse()
        for key in request.coordinator_keys:
            response.coordinators.append(_coordinator(kind, key, context))
            await turns.after()
        return response
    found = _coordinator(kind, request.key, context)
    return FindCoordinatorResponse(
        error_code=found.error_code,
        # Kafka says so in these versions, as text.
        error_message=found.error_message or ErrorCode.NONE.name,
        node_id=found.node_id,
        host=found.host,
        port=found.port,
    )


def _coordinator(kind: _Kind | None, key: str, context: RequestContext) -> Coordinator:
    if kind is None:
        message = "this kind of coordinator is not available"
        return _refused(key, ErrorCode.INVALID_REQUEST, message)
    broker = context.broker
    topic = broker.image.topic(kind.topic)
    index = kind.coordinator.partition_for(key)
    # Somebody who made the topic by hand may have given it fewer partitions.
    if topic is not None and index < len(topic.partitions):
        leader = topic.partitions[index].leader
        endpoint = broker.endpoint_of(leader, context.peer.listener_name)
        if endpoint is not None:
            return Coordinator(key=key, node_id=leader, host=endpoint.host, port=endpoint.port)
    message = f"no broker leads the key's partition of {kind.topic}"
    return _refused(key, ErrorCode.COORDINATOR_NOT_AVAILABLE, message)


def _refused(key: str, error: ErrorCode, message: str) -> Coordinator:
    return Coordinator(
        key=key, node_id=-1, host="", port=-1, error_code=error, error_message=message
    )
