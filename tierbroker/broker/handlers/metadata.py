"""Metadata (key 3), versions 0 to 13.

v1 null topics mean all, none mean none. v4 the client may forbid automatic creation. v5 offline
replicas. v7 leader epochs. v8 authorized operations (for the cluster until v10). v9 flexible. v10
topic ids. v12 topics asked by id. v13 a top-level error.

A missing topic is created when both the client and auto.create.topics.enable allow it; the
answer then waits until the topic can be used, where Kafka sends the client round again.
"""

from collections.abc import Coroutine, Iterator
from typing import Any

from tierbroker.base.errors import ApiError, TopicAlreadyExistsError
from tierbroker.base.ids import ZERO_UUID, Uuid
from tierbroker.broker.api import RequestContext
from tierbroker.broker.operations import CLUSTER_OPERATIONS, NOT_REQUESTED, TOPIC_OPERATIONS
from tierbroker.broker.topic_bodies import Variant
from tierbroker.broker.topic_creation import create_automatically, is_internal, is_legal_name
from tierbroker.controller.state.image import MetadataImage, TopicImage
from tierbroker.wire.error_codes import ErrorCode, code_of
from tierbroker.wire.metadata import (
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
    MetadataResponseBroker,
    PackedMetadata,
    TopicHead,
    pack_topic,
)

_BY_ID_SINCE = 12


def handle(
    request: MetadataRequest, context: RequestContext
) -> PackedMetadata | Coroutine[Any, Any, PackedMetadata]:
    """Answer from the image, or create what is missing first."""
    if _names_ids_too_early(request, context.api_version):
        return _refused(request, context.api_version)
    request.topics = _told_once(request.topics)
    missing = _missing_names(request, context)
    allowed = request.allow_auto_topic_creation and context.broker.values.flag(
        "auto.create.topics.enable"
    )
    if missing and allowed:
        return _create_and_answer(request, context, missing)
    return _answer(request, context, {})


async def _create_and_answer(
    request: MetadataRequest, context: RequestContext, missing: list[str]
) -> PackedMetadata:
    failures: dict[str, ErrorCode] = {}
    for name in missing:
        try:
            await create_automatically(context.broker, name)
        except TopicAlreadyExistsError:
            continue
        except ApiError as error:
            failures[name] = code_of(error)
    return _answer(request, context, failures)


def _told_once(
    asked: list[MetadataRequestTopic] | None,
) -> list[MetadataRequestTopic] | None:
    """Each topic once. Where one id is asked for, ids alone count, as in Kafka: names beside them
    are neither looked up nor created.
    """
    if not asked:
        return asked
    by_id = {
        entry.topic_id: MetadataRequestTopic(topic_id=entry.topic_id, name=None)
        for entry in asked
        if entry.topic_id != ZERO_UUID
    }
    by_name = {entry.name: entry for entry in asked}
    return list(by_id.values() if by_id else by_name.values())


def _missing_names(request: MetadataRequest, context: RequestContext) -> list[str]:
    if not request.topics:
        return []
    image = context.broker.image
    return [
        asked.name
        for asked in request.topics
        if asked.name is not None and image.topic(asked.name) is None
    ]


def _answer(
    request: MetadataRequest, context: RequestContext, failures: dict[str, ErrorCode]
) -> PackedMetadata:
    broker, image = context.broker, context.broker.image
    listener = context.peer.listener_name
    wants_all = request.topics is None or (context.api_version == 0 and not request.topics)
    response = MetadataResponse(
        brokers=_brokers(image, listener),
        cluster_id=broker.cluster_id,
        controller_id=broker.broker_id,
    )
    if request.include_cluster_authorized_operations:
        response.cluster_authorized_operations = CLUSTER_OPERATIONS
    operations = TOPIC_OPERATIONS if request.include_topic_authorized_operations else NOT_REQUESTED
    reachable = frozenset(entry.node_id for entry in response.brokers)
    variant = Variant(context.api_version, operations, reachable, broker.disks)
    told = image.topics if wants_all else _asked_for(request, image, failures)
    return PackedMetadata(response, broker.topic_bodies.pack(image, told, variant))


def _asked_for(
    request: MetadataRequest, image: MetadataImage, failures: dict[str, ErrorCode]
) -> Iterator[TopicImage | TopicHead]:
    for asked in request.topics or ():
        name = asked.name
        topic = image.topic_by_id(asked.topic_id) if name is None else image.topic(name)
        yield _absent(name, asked.topic_id, failures) if topic is None else topic


def _names_ids_too_early(request: MetadataRequest, version: int) -> bool:
    """Versions 10 and 11 have a field for ids that must not be used (KAFKA-12701)."""
    return version < _BY_ID_SINCE and any(
        asked.name is None or asked.topic_id != ZERO_UUID for asked in request.topics or ()
    )


def _refused(request: MetadataRequest, version: int) -> PackedMetadata:
    refused = [
        TopicHead(asked.name or "", asked.topic_id, ErrorCode.INVALID_REQUEST)
        for asked in request.topics or ()
    ]
    return PackedMetadata(MetadataResponse(), [pack_topic(version, head) for head in refused])


def _absent(name: str | None, topic_id: Uuid, failures: dict[str, ErrorCode]) -> TopicHead:
    if name is None:
        error = ErrorCode.UNKNOWN_TOPIC_ID if topic_id != ZERO_UUID else ErrorCode.INVALID_REQUEST
        return TopicHead(None, topic_id, error)
    legal = is_legal_name(name)
    absent = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION if legal else ErrorCode.INVALID_TOPIC_EXCEPTION
    error = failures.get(name, absent)
    return TopicHead(name, error_code=error, is_internal=is_internal(name))


def _brokers(image: MetadataImage, listener: str) -> list[MetadataResponseBroker]:
    return [
        MetadataResponseBroker(
            node_id=entry.broker_id, host=endpoint.host, port=endpoint.port, rack=entry.rack
        )
        for entry in image.brokers.values()
        if not entry.fenced and (endpoint := entry.endpoint(listener)) is not None
    ]
