"""Deciding on partitions: new ones, who leads, who is in sync.

Rules: ReplicationControlManager and PartitionChangeBuilder in Kafka.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from tierbroker.base.errors import (
    ApiError,
    InvalidPartitionsError,
    InvalidReplicaAssignmentError,
    InvalidRequestError,
    PolicyViolationError,
    UnknownTopicOrPartitionError,
)
from tierbroker.base.ids import Uuid
from tierbroker.controller.records.partition_change_record import PartitionChangeRecord
from tierbroker.controller.records.partition_record import PartitionRecord
from tierbroker.controller.state.environment import Environment
from tierbroker.controller.state.image import (
    MIGRATING_DIRECTORY,
    NO_LEADER,
    UNASSIGNED_DIRECTORY,
    LeaderRecoveryState,
    MetadataImage,
    PartitionImage,
    TopicImage,
)
from tierbroker.controller.state.placement import place_partitions
from tierbroker.controller.state.result import MetadataRecord, Result


@dataclass(frozen=True, slots=True)
class MorePartitions:
    """A topic is to have `count` partitions; `assignments` are those of the new ones, if given."""

    name: str
    count: int
    assignments: tuple[tuple[int, ...], ...] | None = None


@dataclass(frozen=True, slots=True)
class PartitionsOutcome:
    """What became of one topic of a CreatePartitions request."""

    name: str
    error: ApiError | None = None


def create_partitions(
    image: MetadataImage,
    requests: Sequence[MorePartitions],
    env: Environment,
    *,
    validate_only: bool = False,
) -> Result[list[PartitionsOutcome]]:
    """Add partitions to topics; each topic succeeds or fails for itself."""
    names = [request.name for request in requests]
    twice = {name for name in names if names.count(name) > 1}
    outcomes: list[PartitionsOutcome] = []
    records: list[MetadataRecord] = []
    budget = env.max_partitions_per_request
    for request in requests:
        if request.name in twice:
            if all(outcome.name != request.name for outcome in outcomes):
                error = InvalidRequestError("Duplicate topic name.")
                outcomes.append(PartitionsOutcome(request.name, error))
            continue
        try:
            added = _more_partitions(image, request, env, budget)
        except ApiError as failure:
            outcomes.append(PartitionsOutcome(request.name, failure))
            continue
        budget -= len(added)
        records.extend(added)
        outcomes.append(PartitionsOutcome(request.name))
    return Result(() if validate_only else tuple(records), outcomes)


def _more_partitions(
    image: MetadataImage, request: MorePartitions, env: Environment, budget: int
) -> list[PartitionRecord]:
    topic = image.topic(request.name)
    if topic is None:
        raise UnknownTopicOrPartitionError(f"There is no topic {request.name!r}")
    have = len(topic.partitions)
    if request.count == have:
        raise InvalidPartitionsError(f"Topic already has {have} partition(s).")
    if request.count < have:
        raise InvalidPartitionsError(
            f"The topic has {have} partitions; it cannot be reduced to {request.count}."
        )
    added = request.count - have
    if added > budget:
        raise excessive_partitions(env)
    if request.assignments is None:
        placed = place_partitions(
            image.brokers,
            count=added,
            replication_factor=len(topic.partitions[0].replicas),
            start_partition=have,
            rng=env.rng,
        )
    else:
        if len(request.assignments) != added:
            raise InvalidReplicaAssignmentError(
                f"{added} partition(s) are to be added, but {len(request.assignments)}"
                " assignment(s) are given."
            )
        placed = list(request.assignments)
        factor = len(topic.partitions[0].replicas)
        for replicas in placed:
            check_assignment(image, replicas, factor)
    return [
        new_partition(image, topic.topic_id, number, replicas)
        for number, replicas in enumerate(placed, start=have)
    ]


def excessive_partitions(env: Environment) -> PolicyViolationError:
    """A request asks for more new partitions than one may."""
    return PolicyViolationError(
        f"One request may create at most {env.max_partitions_per_request} partitions."
    )


def check_assignment(
    image: MetadataImage, replicas: Sequence[int], replication_factor: int | None
) -> None:
    """A manual assignment names registered brokers, each once, as many as it should.

    Raises InvalidReplicaAssignmentError. None as factor: any number is right.
    """
    if not replicas:
        raise InvalidReplicaAssignmentError("A manual assignment has an empty replica list.")
    for broker_id in replicas:
        if broker_id not in image.brokers:
            raise InvalidReplicaAssignmentError(
                f"A manual assignment names broker {broker_id}, which is not registered."
            )
    if len(set(replicas)) < len(replicas):
        raise InvalidReplicaAssignmentError(
            f"A manual assignment names a broker more than once: {list(replicas)}."
        )
    if replication_factor is not None and len(replicas) != replication_factor:
        raise InvalidReplicaAssignmentError(
            f"A manual assignment has {len(replicas)} replica(s) where other partitions have"
            f" {replication_factor}."
        )


def new_partition(
    image: MetadataImage, topic_id: Uuid, number: int, replicas: Sequence[int]
) -> PartitionRecord:
    """A new partition: in sync are the replicas that can serve, the first of them leads.

    Raises InvalidReplicaAssignmentError when none can.
    """
    isr = [broker_id for broker_id in replicas if image.brokers[broker_id].active]
    if not isr:
        raise InvalidReplicaAssignmentError(
            f"All brokers of partition {number} are fenced or shutting down: {list(replicas)}."
        )
    return PartitionRecord(
        partition_id=number,
        topic_id=topic_id,
        replicas=list(replicas),
        isr=isr,
        leader=isr[0],
        leader_epoch=0,
        partition_epoch=0,
        directories=[_default_directory(image, broker_id) for broker_id in replicas],
    )


def _default_directory(image: MetadataImage, broker_id: int) -> Uuid:
    """Known at once for a broker with one log directory; else the broker chooses and reports."""
    log_dirs = image.brokers[broker_id].log_dirs
    if not log_dirs:
        return MIGRATING_DIRECTORY
    return log_dirs[0] if len(log_dirs) == 1 else UNASSIGNED_DIRECTORY


def assign_directories(
    image: MetadataImage, broker_id: int, placed: Iterable[tuple[Uuid, int, Uuid]]
) -> Result[None]:
    """A broker put its replicas of (topic id, partition) into log directories.

    What the broker no longer holds, or the image knows already, is left out.
    """
    records = []
    for topic_id, number, directory in placed:
        topic = image.topic_by_id(topic_id)
        if topic is None or number >= len(topic.partitions):
            continue
        partition = topic.partitions[number]
        if broker_id not in partition.replicas:
            continue
        slot = partition.replicas.index(broker_id)
        if partition.directories[slot] == directory:
            continue
        directories = list(partition.directories)
        directories[slot] = directory
        records.append(
            PartitionChangeRecord(partition_id=number, topic_id=topic_id, directories=directories)
        )
    return Result(tuple(records), None, atomic=False)


def bump_leader_epochs(image: MetadataImage, broker_id: int) -> Iterator[PartitionChangeRecord]:
    """The broker stays leader of its partitions in a new leader epoch.

    After an unclean restart it may have lost what nobody else holds: consumers that saw it must
    notice, and old requests must be fenced (INV-3, INV-7).
    """
    for topic, number, partition in _partitions(image):
        if partition.leader == broker_id:
            yield PartitionChangeRecord(
                partition_id=number, topic_id=topic.topic_id, leader=broker_id
            )


def leave_partitions(
    image: MetadataImage, broker_id: int, alive: Callable[[int], bool]
) -> Iterator[PartitionChangeRecord]:
    """A broker goes: others take its leaderships over, and it leaves every ISR of several.

    The last member of an ISR stays in it, without a leader, until it is back.
    """
    for topic, number, partition in _partitions(image):
        if broker_id not in partition.isr and partition.leader != broker_id:
            continue
        isr = [member for member in partition.isr if member != broker_id] or list(partition.isr)
        leader = partition.leader
        if leader == broker_id:
            leader = elect(partition, isr, alive)
        change = PartitionChangeRecord(partition_id=number, topic_id=topic.topic_id)
        if tuple(isr) != partition.isr:
            change.isr = isr
        if leader != partition.leader:
            change.leader = leader
        if change.isr is not None or leader != partition.leader:
            yield change


def lead_orphans(
    image: MetadataImage, broker_id: int, alive: Callable[[int], bool]
) -> Iterator[PartitionChangeRecord]:
    """A broker is back: it leads the leaderless partitions that it may lead.

    Those are the ones in whose ISR it is. Where the ISR is empty, which only Kafka leaves behind,
    an eligible leader replica has every committed record too (KIP-966); without one of those the
    last known leader goes on with what it has, if it is the only one.
    """
    for topic, number, partition in _partitions(image):
        if partition.leader != NO_LEADER:
            continue
        change = PartitionChangeRecord(partition_id=number, topic_id=topic.topic_id)
        if broker_id in partition.isr:
            change.leader = elect(partition, partition.isr, alive)
        elif partition.isr:
            continue
        elif broker_id in partition.eligible_leader_replicas:
            change.leader = elect(partition, partition.eligible_leader_replicas, alive)
        elif partition.last_known_elr == (broker_id,) and not partition.eligible_leader_replicas:
            change.leader = elect(partition, partition.last_known_elr, alive)
            change.leader_recovery_state = LeaderRecoveryState.RECOVERING
        if change.leader >= 0:
            if not partition.isr:
                change.isr = [change.leader]
                change.eligible_leader_replicas = []
                change.last_known_elr = []
            yield change


def elect(partition: PartitionImage, isr: Sequence[int], alive: Callable[[int], bool]) -> int:
    """The first replica in assignment order that is in sync and alive, or NO_LEADER."""
    return next(
        (replica for replica in partition.replicas if replica in isr and alive(replica)), NO_LEADER
    )


def _partitions(image: MetadataImage) -> Iterator[tuple[TopicImage, int, PartitionImage]]:
    for topic in image.topics:
        for number, partition in enumerate(topic.partitions):
            yield topic, number, partition
