"""DescribeConfigs (key 32), versions 1 to 4.

v1 sources and synonyms. v3 types and documentation. v4 flexible. Topics and brokers are
described whole: every key with type, value, source and whether it can be changed. Secrets are
never shown. Absent: broker loggers, client metrics and groups, which nothing here configures.
"""

from collections.abc import Iterable, Set
from typing import Protocol

from tierbroker.base.config import ConfigType, Scope
from tierbroker.base.errors import (
    ApiError,
    CloseConnection,
    InvalidRequestError,
    InvalidTopicError,
    UnknownTopicOrPartitionError,
)
from tierbroker.base.pending import Pending
from tierbroker.base.turns import Turns, at_once_or_later
from tierbroker.broker.api import RequestContext
from tierbroker.broker.services import BrokerServices
from tierbroker.broker.topic_creation import is_legal_name
from tierbroker.controller.state.image import ResourceType
from tierbroker.hot.config_origin import (
    BrokerLayer,
    ConfigOrigin,
    ConfigSource,
    explain_broker_key,
)
from tierbroker.wire.error_codes import code_of
from tierbroker.wire.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
    DescribeConfigsResult,
    DescribeConfigsSynonym,
)

_SETTINGS_MAX = 1_000_000
"""Most settings in one answer: a few bytes can name a topic a thousand times."""


class _Wishes(Protocol):
    include_synonyms: bool
    include_documentation: bool


def handle(
    request: DescribeConfigsRequest, context: RequestContext
) -> DescribeConfigsResponse | Pending[DescribeConfigsResponse]:
    """Describe each resource asked; many of them take several turns."""
    return at_once_or_later(_describe(request, context))


async def _describe(
    request: DescribeConfigsRequest, context: RequestContext
) -> DescribeConfigsResponse:
    turns = context.broker.turns()
    told: dict[tuple[int, str, frozenset[str]], DescribeConfigsResult] = {}
    response = DescribeConfigsResponse()
    settings = 0
    for resource in request.resources:
        wanted = frozenset(resource.configuration_keys or ())
        key = (resource.resource_type, resource.resource_name, wanted)
        result = told.get(key)
        if result is None:
            result = await _result(context.broker, resource, wanted, request, turns)
            told[key] = result
        response.results.append(result)
        settings += len(result.configs)
        if settings > _SETTINGS_MAX:
            raise CloseConnection(
                f"the resources asked for have more than {_SETTINGS_MAX} settings"
            )
        await turns.after()
    return response


async def _result(
    broker: BrokerServices,
    resource: DescribeConfigsResource,
    wanted: frozenset[str],
    wishes: _Wishes,
    turns: Turns,
) -> DescribeConfigsResult:
    result = DescribeConfigsResult(
        resource_type=resource.resource_type, resource_name=resource.resource_name
    )
    try:
        origins = _origins(broker, resource)
    except ApiError as error:
        result.error_code = code_of(error)
        result.error_message = error.message
    else:
        read_only = resource.resource_type == ResourceType.BROKER
        result.configs = _described(origins, wanted, wishes, read_only=read_only)
        await turns.after(len(origins))
    return result


def _origins(broker: BrokerServices, resource: DescribeConfigsResource) -> list[ConfigOrigin]:
    name = resource.resource_name
    if resource.resource_type == ResourceType.TOPIC:
        if not is_legal_name(name):
            raise InvalidTopicError(f"{name!r} is not a legal topic name")
        if broker.image.topic(name) is None:
            raise UnknownTopicOrPartitionError(f"there is no topic {name}")
        return broker.topic_configs.explain(broker.image.configs.topic(name))
    if resource.resource_type == ResourceType.BROKER:
        if name not in ("", str(broker.broker_id)):
            raise InvalidRequestError(f"this is broker {broker.broker_id}, not {name!r}")
        return _broker_origins(broker, name)
    raise InvalidRequestError(f"resources of type {resource.resource_type} are not configured here")


def _broker_origins(broker: BrokerServices, name: str) -> list[ConfigOrigin]:
    configs = broker.image.configs
    default = BrokerLayer(ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG, configs.cluster_default())
    if name == "":
        # The cluster's default is only what was set for it.
        keys = [broker.schema.find(key, Scope.BROKER) for key in default.texts]
        return [explain_broker_key(key, (default,)) for key in keys]
    own = BrokerLayer(ConfigSource.DYNAMIC_BROKER_CONFIG, configs.broker(broker.broker_id))
    layers = (own, default, *broker.layers)
    return [explain_broker_key(key, layers) for key in broker.schema.keys(Scope.BROKER)]


def _described(
    origins: Iterable[ConfigOrigin],
    wanted: Set[str],
    wishes: _Wishes,
    *,
    read_only: bool,
) -> list[DescribeConfigsResourceResult]:
    return [
        DescribeConfigsResourceResult(
            name=origin.key.name,
            value=None if origin.key.sensitive else origin.text,
            read_only=read_only,
            config_source=origin.source,
            is_sensitive=origin.key.sensitive,
            synonyms=_synonyms(origin) if wishes.include_synonyms else [],
            config_type=ConfigType(origin.key.type),
            documentation=origin.key.doc if wishes.include_documentation else None,
        )
        for origin in origins
        if not wanted or origin.key.name in wanted
    ]


def _synonyms(origin: ConfigOrigin) -> list[DescribeConfigsSynonym]:
    return [
        DescribeConfigsSynonym(
            name=synonym.name,
            value=None if origin.key.sensitive else synonym.text,
            source=synonym.source,
        )
        for synonym in origin.synonyms
    ]
