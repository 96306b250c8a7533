"""Deciding on configurations of topics, brokers and the whole cluster.

The rules are those of ConfigurationControlManager, ConfigAdminManager and
ControllerConfigurationValidator in Kafka; every resource of a request succeeds or fails for
itself. Only what changes is written.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

from tierbroker.base.config import ConfigKey, ConfigType, Scope
from tierbroker.base.errors import (
    ApiError,
    InvalidConfigError,
    InvalidRequestError,
    UnknownTopicOrPartitionError,
)
from tierbroker.controller.records.config_record import ConfigRecord
from tierbroker.controller.state.environment import Environment
from tierbroker.controller.state.image import ConfigResource, MetadataImage, ResourceType
from tierbroker.controller.state.result import MetadataRecord, Result
from tierbroker.controller.state.topics import check_name

T = TypeVar("T")

MAX_VALUE_LENGTH = 32_767


class ConfigOperation(IntEnum):
    """What an incremental change does to a key (AlterConfigOp.OpType)."""

    SET = 0
    DELETE = 1
    APPEND = 2
    SUBTRACT = 3


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """One key of one resource."""

    key: str
    operation: int
    value: str | None = None


@dataclass(frozen=True, slots=True)
class ResourceChanges:
    """The changes of one resource, to be made together."""

    resource: ConfigResource
    changes: tuple[ConfigChange, ...]


@dataclass(frozen=True, slots=True)
class ResourceConfigs:
    """All that is to be set on one resource; what is not named is removed (AlterConfigs)."""

    resource: ConfigResource
    values: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class ConfigOutcome:
    """What became of one resource."""

    resource: ConfigResource
    error: ApiError | None = None


def alter_incrementally(
    image: MetadataImage,
    requests: Sequence[ResourceChanges],
    env: Environment,
    *,
    validate_only: bool = False,
) -> Result[list[ConfigOutcome]]:
    """SET, DELETE, APPEND and SUBTRACT keys of resources (IncrementalAlterConfigs)."""
    wanted = [(request.resource, request) for request in requests]

    def target(request: ResourceChanges) -> dict[str, str]:
        return _changed(image, request, env)

    return _alter(image, wanted, target, env, validate_only=validate_only)


def alter(
    image: MetadataImage,
    requests: Sequence[ResourceConfigs],
    env: Environment,
    *,
    validate_only: bool = False,
) -> Result[list[ConfigOutcome]]:
    """Replace all configurations of resources (AlterConfigs)."""
    wanted = [(request.resource, request) for request in requests]
    return _alter(image, wanted, _replaced, env, validate_only=validate_only)


def _alter(
    image: MetadataImage,
    requests: Sequence[tuple[ConfigResource, T]],
    target: Callable[[T], dict[str, str]],
    env: Environment,
    *,
    validate_only: bool,
) -> Result[list[ConfigOutcome]]:
    times = Counter(resource for resource, _ in requests)
    outcomes: dict[ConfigResource, ConfigOutcome] = {}
    records: list[MetadataRecord] = []
    for resource, request in requests:
        if resource in outcomes:
            continue
        outcomes[resource] = ConfigOutcome(resource)
        try:
            if times[resource] > 1:
                raise InvalidRequestError("Each resource must appear at most once.")
            _check_resource(image, resource)
            wanted = target(request)
            before = image.configs.of(*resource)
            _check_values(resource, before, wanted, env)
            _check_existence(image, resource)
        except ApiError as error:
            outcomes[resource] = ConfigOutcome(resource, error)
            continue
        records.extend(_difference(resource, before, wanted))
    return Result(() if validate_only else tuple(records), list(outcomes.values()))


def _check_resource(image: MetadataImage, resource: ConfigResource) -> None:
    kind, name = resource
    if kind == ResourceType.TOPIC:
        if not name:
            raise InvalidRequestError("The name of a topic is missing: topics have no default.")
        check_name(name)
    elif kind == ResourceType.BROKER:
        if not name:
            return
        if not name.isdecimal():
            raise InvalidRequestError(f"{name!r} is not the id of a broker.")
        if int(name) not in image.brokers:
            raise InvalidRequestError(f"Broker {name} is not registered.")
    else:
        raise InvalidRequestError(f"Configurations of resource type {kind} cannot be set here.")


def _check_existence(image: MetadataImage, resource: ConfigResource) -> None:
    """The last of Kafka's checks: what is wrong with a change is told of no topic as well."""
    kind, name = resource
    if kind == ResourceType.TOPIC and image.topic(name) is None:
        raise UnknownTopicOrPartitionError(f"There is no topic {name!r}.")


def _scope(resource: ConfigResource) -> Scope:
    return Scope.TOPIC if resource[0] == ResourceType.TOPIC else Scope.BROKER


def _changed(image: MetadataImage, request: ResourceChanges, env: Environment) -> dict[str, str]:
    """The values after the changes."""
    times = Counter(change.key for change in request.changes)
    twice = sorted(key for key, count in times.items() if count > 1)
    if twice:
        raise InvalidRequestError(f"Keys that are given more than once: {', '.join(twice)}")
    for change in request.changes:
        if change.value is None and change.operation != ConfigOperation.DELETE:
            raise InvalidRequestError(f"Null is no value for {change.key}.")
    scope = _scope(request.resource)
    values = dict(image.configs.of(*request.resource))
    for change in request.changes:
        _apply(change, values, lambda name: env.schema.find(name, scope))
    return values


def _apply(change: ConfigChange, values: dict[str, str], find: Callable[[str], ConfigKey]) -> None:
    if change.operation == ConfigOperation.DELETE:
        values.pop(change.key, None)
        return
    assert change.value is not None, "checked for all changes before any is made"
    if change.operation == ConfigOperation.SET:
        values[change.key] = change.value
        return
    if change.operation not in (ConfigOperation.APPEND, ConfigOperation.SUBTRACT):
        raise InvalidRequestError(f"{change.operation} is not an operation on configurations.")
    key = find(change.key)
    if key.type is not ConfigType.LIST:
        name = ConfigOperation(change.operation).name
        raise InvalidConfigError(f"{name} does not apply to {change.key}: it is not a list.")
    items = _items(values.get(change.key, key.default or ""))
    given = [item.strip() for item in change.value.split(",")]  # also an empty one, as in Kafka
    if change.operation == ConfigOperation.APPEND:
        items += [item for item in given if item not in items]
    else:
        items = [item for item in items if item not in given]
    values[change.key] = ",".join(items)


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _replaced(request: ResourceConfigs) -> dict[str, str]:
    values: dict[str, str] = {}
    for key, value in request.values:
        if value is None:
            raise InvalidRequestError(f"Null is no value for {key}.")
        if key in values:
            raise InvalidRequestError(f"Keys that are given more than once: {key}")
        values[key] = value
    return values


def _check_values(
    resource: ConfigResource,
    before: Mapping[str, str],
    wanted: Mapping[str, str],
    env: Environment,
) -> None:
    """Every new value is legal; values that stay were checked when they were set."""
    changed = {key: value for key, value in wanted.items() if before.get(key) != value}
    for key, value in changed.items():
        if len(value) > MAX_VALUE_LENGTH:
            raise InvalidConfigError(
                f"The value of {key} has {len(value)} characters; {MAX_VALUE_LENGTH} are allowed."
            )
    scope = _scope(resource)
    env.schema.parse(changed, scope)
    if scope is Scope.TOPIC:
        # To remove a setting changes something, too: what it falls back to may not fit.
        if wanted != before and env.check_topic is not None:
            env.check_topic(wanted, before)
    else:
        touched = changed.keys() | (before.keys() - wanted.keys())
        fixed = sorted(touched - env.dynamic_broker_keys)
        if fixed:
            raise InvalidRequestError(
                f"Cannot be changed while brokers run: {', '.join(fixed)}; set it at start."
            )


def _difference(
    resource: ConfigResource, before: Mapping[str, str], wanted: Mapping[str, str]
) -> list[ConfigRecord]:
    kind, name = resource
    records = [
        ConfigRecord(kind, name, key, value)
        for key, value in wanted.items()
        if before.get(key) != value
    ]
    records += [ConfigRecord(kind, name, key, None) for key in before if key not in wanted]
    return records
