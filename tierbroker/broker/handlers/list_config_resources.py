"""ListConfigResources (key 74), versions 0 to 1.

Flexible from the start. v0 asks for client metrics alone. v1 asks for kinds of resource, none of
them meaning all (KIP-1142). Topics and brokers are listed; of client metrics, groups and broker
loggers there are none, because nothing here configures them.
"""

from collections.abc import Callable, Iterable
from types import MappingProxyType

from tierbroker.broker.api import RequestContext
from tierbroker.controller.state.image import MetadataImage, ResourceType
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.list_config_resources import (
    ConfigResource,
    ListConfigResourcesRequest,
    ListConfigResourcesResponse,
)

_KINDS_SINCE = 1


def _topics(image: MetadataImage) -> Iterable[str]:
    return (topic.name for topic in image.topics)


def _brokers(image: MetadataImage) -> Iterable[str]:
    return (str(broker_id) for broker_id in image.brokers)


def _none(_: MetadataImage) -> Iterable[str]:
    return ()


_NAMES: MappingProxyType[int, Callable[[MetadataImage], Iterable[str]]] = MappingProxyType(
    {
        ResourceType.TOPIC: _topics,
        ResourceType.BROKER: _brokers,
        ResourceType.BROKER_LOGGER: _none,
        ResourceType.CLIENT_METRICS: _none,
        ResourceType.GROUP: _none,
    }
)


def handle(
    request: ListConfigResourcesRequest, context: RequestContext
) -> ListConfigResourcesResponse:
    """List the resources of the kinds asked for."""
    kinds: Iterable[int] = dict.fromkeys(request.resource_types) or _NAMES
    if context.api_version < _KINDS_SINCE:
        kinds = (ResourceType.CLIENT_METRICS,)
    if any(kind not in _NAMES for kind in kinds):
        return ListConfigResourcesResponse(
            error_code=ErrorCode.UNSUPPORTED_VERSION, config_resources=[]
        )
    image = context.broker.image
    return ListConfigResourcesResponse(
        config_resources=[
            ConfigResource(resource_name=name, resource_type=kind)
            for kind in kinds
            for name in _NAMES[kind](image)
        ]
    )
