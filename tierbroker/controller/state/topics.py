"""Deciding on topics: create and delete.

The rules, and which error each one has, are those of ReplicationControlManager and ControllerApis
in Kafka; every topic of a request succeeds or fails for itself.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tierbroker.base.config import Scope
from tierbroker.base.errors import (
    ApiError,
    InvalidConfigError,
    InvalidPartitionsError,
    InvalidReplicaAssignmentError,
    InvalidReplicationFactorError,
    InvalidRequestError,
    InvalidTopicError,
    TopicAlreadyExistsError,
    UnknownTopicIdError,
    UnknownTopicOrPartitionError,
)
from tierbroker.base.ids import ZERO_UUID, Uuid, random_uuid, uuid_text
from tierbroker.controller.records.config_record import ConfigRecord
from tierbroker.controller.records.remove_topic_record import RemoveTopicRecord
from tierbroker.controller.records.topic_record import TopicRecord
from tierbroker.controller.state.environment import Environment
from tierbroker.controller.state.image import MetadataImage, ResourceType
from tierbroker.controller.state.partitions import (
    check_assignment,
    excessive_partitions,
    new_partition,
)
from tierbroker.controller.state.placement import place_partitions
from tierbroker.controller.state.result import MetadataRecord, Result
from tierbroker.controller.state.topics_delta import fold_name

MAX_NAME_LENGTH = 249
_NAME = re.compile(r"[a-zA-Z0-9._-]+")
METADATA_TOPIC = "__cluster_metadata"
OFFSETS_TOPIC = "__consumer_offsets"
TRANSACTION_STATE_TOPIC = "__transaction_state"
INTERNAL_TOPICS = frozenset({OFFSETS_TOPIC, TRANSACTION_STATE_TOPIC, "__share_group_state"})
DEFAULT = -1


@dataclass(frozen=True, slots=True)
class NewTopic:
    """One topic of a CreateTopics request; -1 stands for the default."""

    name: str
    num_partitions: int = DEFAULT
    replication_factor: int = DEFAULT
    assignments: tuple[tuple[int, tuple[int, ...]], ...] = ()
    """(partition, replicas), in any order."""
    configs: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True, slots=True)
class CreatedTopic:
    """A topic as it was made, or would have been."""

    topic_id: Uuid
    num_partitions: int
    replication_factor: int
    configs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicOutcome:
    """What became of one topic: an error, or what was created."""

    name: str
    error: ApiError | None = None
    created: CreatedTopic | None = None


@dataclass(frozen=True, slots=True)
class TopicRef:
    """A topic by name or by id; the other one is None, or the zero id."""

    name: str | None = None
    topic_id: Uuid = ZERO_UUID


@dataclass(frozen=True, slots=True)
class DeleteOutcome:
    """What became of one topic of a DeleteTopics request."""

    name: str | None
    topic_id: Uuid
    error: ApiError | None = None


def check_name(name: str) -> None:
    """Raises InvalidTopicError for a name that Kafka does not allow (Topic.validate)."""
    if not name:
        raise InvalidTopicError("A topic name must not be empty.")
    if name in (".", ".."):
        raise InvalidTopicError(f"A topic cannot be named {name!r}.")
    if len(name) > MAX_NAME_LENGTH:
        raise InvalidTopicError(
            f"A topic name has at most {MAX_NAME_LENGTH} characters, {name!r} has {len(name)}."
        )
    if _NAME.fullmatch(name) is None:
        raise InvalidTopicError(
            f"{name!r} is not a legal topic name: it may hold ASCII letters and digits,"
            " '.', '_' and '-'."
        )


def create_topics(
    image: MetadataImage,
    requests: Sequence[NewTopic],
    env: Environment,
    *,
    validate_only: bool = False,
) -> Result[list[TopicOutcome]]:
    """Create topics; with `validate_only` answer what would happen."""
    times = Counter(request.name for request in requests)
    outcomes: list[TopicOutcome] = []
    records: list[MetadataRecord] = []
    folded: dict[str, str] = {}
    budget = env.max_partitions_per_request
    answered: set[str] = set()
    for request in requests:
        if request.name in answered:
            continue
        answered.add(request.name)
        try:
            if times[request.name] > 1:
                raise InvalidRequestError("Duplicate topic name.")
            _check_free(image, request.name, folded)
            made, created = _create_topic(image, request, env, budget)
        except ApiError as error:
            outcomes.append(TopicOutcome(request.name, error))
            continue
        if (fold := fold_name(request.name)) is not None:
            folded[fold] = request.name
        budget -= created.num_partitions
        records.extend(made)
        outcomes.append(TopicOutcome(request.name, None, created))
    return Result(() if validate_only else tuple(records), outcomes)


def _check_free(image: MetadataImage, name: str, folded: Mapping[str, str]) -> None:
    """The name is legal, nobody has it, and no metric would confuse it with another."""
    if name == METADATA_TOPIC:
        raise InvalidRequestError(f"Topic {METADATA_TOPIC} cannot be created.")
    check_name(name)
    if image.topic(name) is not None:
        raise TopicAlreadyExistsError(f"Topic '{name}' already exists.")
    fold = fold_name(name)
    if fold is None:
        return
    others = image.topics.by_folded_name.get(fold, ())
    other = folded.get(fold) or next(iter(others), None)
    if other is not None:
        raise InvalidTopicError(f"Topic '{name}' collides with existing topic: {other}")


def _create_topic(
    image: MetadataImage, request: NewTopic, env: Environment, budget: int
) -> tuple[list[MetadataRecord], CreatedTopic]:
    configs = _checked_configs(request, env)
    topic_id = random_uuid(env.rng)
    if request.assignments:
        placed = _manual_assignment(image, request)
    else:
        placed = _placed(image, request, env, budget)
    if len(placed) > budget:
        raise excessive_partitions(env)
    records: list[MetadataRecord] = [TopicRecord(request.name, topic_id)]
    topic = int(ResourceType.TOPIC)
    records += [ConfigRecord(topic, request.name, key, value) for key, value in configs.items()]
    records += [
        new_partition(image, topic_id, number, replicas) for number, replicas in enumerate(placed)
    ]
    return records, CreatedTopic(topic_id, len(placed), len(placed[0]), configs)


def _checked_configs(request: NewTopic, env: Environment) -> dict[str, str]:
    configs: dict[str, str] = {}
    for key, value in request.configs:
        if value is None:
            raise InvalidConfigError(f"Null is no value for the topic configuration {key}.")
        if key in configs:
            raise InvalidRequestError(f"The configuration {key} is given twice.")
        configs[key] = value
    env.schema.parse(configs, Scope.TOPIC)
    if env.check_topic is not None:
        env.check_topic(configs, {})
    if env.complete_topic is not None:
        configs |= env.complete_topic(request.name, configs)
    return configs


def _placed(
    image: MetadataImage, request: NewTopic, env: Environment, budget: int
) -> list[tuple[int, ...]]:
    factor = request.replication_factor
    if factor == 0 or factor < DEFAULT:
        raise InvalidReplicationFactorError(
            "The replication factor must be larger than 0, or -1 for the default."
        )
    count = request.num_partitions
    if count == 0 or count < DEFAULT:
        raise InvalidPartitionsError(
            "The number of partitions must be larger than 0, or -1 for the default."
        )
    count = env.default_partitions if count == DEFAULT else count
    if count > budget:
        raise excessive_partitions(env)
    return place_partitions(
        image.brokers,
        count=count,
        replication_factor=env.default_replication_factor if factor == DEFAULT else factor,
        start_partition=0,
        rng=env.rng,
    )


def _manual_assignment(image: MetadataImage, request: NewTopic) -> list[tuple[int, ...]]:
    if request.replication_factor != DEFAULT:
        raise InvalidRequestError(
            "A manual assignment is given; then the replication factor has to be -1."
        )
    if request.num_partitions != DEFAULT:
        raise InvalidRequestError(
            "A manual assignment is given; then the number of partitions has to be -1."
        )
    placed = dict(request.assignments)
    if len(placed) < len(request.assignments):
        raise InvalidReplicaAssignmentError("A manual assignment names a partition twice.")
    if set(placed) != set(range(len(placed))):
        raise InvalidReplicaAssignmentError(
            "The partitions of a manual assignment are not consecutive from 0 on."
        )
    for replicas in placed.values():
        check_assignment(image, replicas, len(placed[0]) or None)
    return [placed[number] for number in range(len(placed))]


def delete_topics(
    image: MetadataImage, requests: Sequence[TopicRef]
) -> Result[list[DeleteOutcome]]:
    """Delete topics by name or id. Their configurations go with them."""
    names = Counter(request.name for request in requests if request.name is not None)
    ids = Counter(request.topic_id for request in requests if request.topic_id != ZERO_UUID)
    outcomes: list[DeleteOutcome] = []
    doomed: dict[Uuid, None] = {}
    answered: set[TopicRef] = set()
    for request in requests:
        if request in answered:
            continue
        answered.add(request)
        try:
            name, topic_id = _resolve(image, request, names, ids)
            if topic_id in doomed:
                raise InvalidRequestError("The request names a topic by its name and by its id.")
        except ApiError as error:
            outcomes.append(DeleteOutcome(request.name, request.topic_id, error))
            continue
        doomed[topic_id] = None
        outcomes.append(DeleteOutcome(name, topic_id))
    return Result(tuple(RemoveTopicRecord(topic_id) for topic_id in doomed), outcomes)


def _resolve(
    image: MetadataImage,
    request: TopicRef,
    names: Mapping[str, int],
    ids: Mapping[Uuid, int],
) -> tuple[str, Uuid]:
    if request.name is not None and request.topic_id != ZERO_UUID:
        raise InvalidRequestError("A topic is named by its name or by its id, not by both.")
    if request.name is not None:
        if names[request.name] > 1:
            raise InvalidRequestError("Duplicate topic name.")
        topic = image.topic(request.name)
        if topic is None:
            raise UnknownTopicOrPartitionError(f"There is no topic {request.name!r}.")
    elif request.topic_id != ZERO_UUID:
        if ids[request.topic_id] > 1:
            raise InvalidRequestError("Duplicate topic id.")
        topic = image.topic_by_id(request.topic_id)
        if topic is None:
            raise UnknownTopicIdError(f"No topic has the id {uuid_text(request.topic_id)}.")
    else:
        raise InvalidRequestError("Neither the name nor the id of a topic is given.")
    return topic.name, topic.topic_id
