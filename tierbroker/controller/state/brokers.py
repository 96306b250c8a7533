"""Deciding on brokers: who is registered, and who may lead.

Rules: ClusterControlManager, BrokerHeartbeatManager and ReplicationControlManager in Kafka. A
broker's epoch is the offset of its registration. It starts fenced, and is unfenced once it has
caught up with the metadata log.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tierbroker.base.errors import (
    BrokerIdNotRegisteredError,
    DuplicateBrokerRegistrationError,
    InvalidRequestError,
    UnsupportedVersionError,
)
from tierbroker.base.ids import Uuid, uuid_text
from tierbroker.controller.records.broker_registration_change_record import (
    BrokerRegistrationChangeRecord,
)
from tierbroker.controller.records.partition_change_record import PartitionChangeRecord
from tierbroker.controller.records.unregister_broker_record import UnregisterBrokerRecord
from tierbroker.controller.state.image import (
    METADATA_VERSION,
    BrokerImage,
    Endpoint,
    MetadataImage,
    VersionRange,
)
from tierbroker.controller.state.partitions import (
    bump_leader_epochs,
    lead_orphans,
    leave_partitions,
)
from tierbroker.controller.state.producer_ids import check_broker_epoch
from tierbroker.controller.state.result import MetadataRecord, Result
from tierbroker.controller.state.snapshot import register_broker_record

NO_EPOCH = -1
_RESERVED_DIRECTORIES = 100
"""Directory ids below this number have a meaning of their own (DirectoryId.RESERVED)."""

FENCE, UNFENCE, SHUTTING_DOWN = 1, -1, 1


@dataclass(frozen=True, slots=True)
class Registration:
    """What a broker says of itself when it starts."""

    broker_id: int
    incarnation_id: Uuid
    endpoints: tuple[Endpoint, ...]
    features: tuple[tuple[str, VersionRange], ...]
    log_dirs: tuple[Uuid, ...]
    rack: str | None = None
    previous_epoch: int = NO_EPOCH
    """The broker epoch found in the proof of a clean shutdown; -1 without such a proof."""
    fenced: bool = True
    """False for a broker in the controller's own process, which is caught up by nature."""


def register_broker(
    image: MetadataImage,
    registration: Registration,
    *,
    session_alive: bool = False,
) -> Result[int]:
    """Register a broker; the response is its epoch.

    The same incarnation keeps its epoch and nothing is written. A new incarnation of a broker
    that did not stop cleanly stays leader of its partitions in new leader epochs, if nobody else
    can take them over.

    Raises DuplicateBrokerRegistrationError while another incarnation's session is alive.
    """
    _check_registration(image, registration)
    existing = image.brokers.get(registration.broker_id)
    if existing is not None:
        if existing.incarnation_id == registration.incarnation_id:
            return Result((), existing.epoch)
        if session_alive:
            raise DuplicateBrokerRegistrationError(
                f"Another broker is registered as {registration.broker_id}, incarnation"
                f" {uuid_text(existing.incarnation_id)}, and its session is alive."
            )
    broker = BrokerImage(
        broker_id=registration.broker_id,
        epoch=image.offset + 1,
        incarnation_id=registration.incarnation_id,
        endpoints=registration.endpoints,
        features=registration.features,
        rack=registration.rack,
        fenced=registration.fenced,
        in_controlled_shutdown=False,
        log_dirs=registration.log_dirs,
    )
    changes: list[PartitionChangeRecord] = []
    if existing is not None and registration.previous_epoch != existing.epoch:
        changes.extend(_after_unclean_stop(image, registration))
    if not registration.fenced:
        changes.extend(_orphans(image, registration.broker_id, changes))
    records: list[MetadataRecord] = [register_broker_record(broker), *changes]
    return Result(tuple(records), broker.epoch, atomic=len(records) == 1)


def _orphans(
    image: MetadataImage, broker_id: int, decided: Sequence[PartitionChangeRecord]
) -> Iterator[PartitionChangeRecord]:
    """What the broker leads because nobody else does; not what is decided on already.

    Kafka leaves every partition of a single node without a leader when it stops in order.
    """
    settled = {(change.topic_id, change.partition_id) for change in decided}
    for change in lead_orphans(image, broker_id, _alive_in(image, included=broker_id)):
        if (change.topic_id, change.partition_id) not in settled:
            yield change


def _after_unclean_stop(
    image: MetadataImage, registration: Registration
) -> Sequence[PartitionChangeRecord]:
    """Who has an in-sync peer hands over to it; who has none goes on in a new epoch."""
    broker_id = registration.broker_id
    left = {
        (change.topic_id, change.partition_id): change
        for change in leave_partitions(image, broker_id, _alive_in(image, excluded=broker_id))
    }
    records: list[PartitionChangeRecord] = []
    for bump in bump_leader_epochs(image, broker_id):
        change = left.pop((bump.topic_id, bump.partition_id))
        records.append(change if change.isr is not None else bump)
    records.extend(left.values())
    return records


def fence_broker(image: MetadataImage, broker_id: int, broker_epoch: int) -> Result[None]:
    """The broker's session ended: it leads nothing and leaves every ISR of several."""
    check_broker_epoch(image, broker_id, broker_epoch)
    if image.brokers[broker_id].fenced:
        return Result((), None)
    change = BrokerRegistrationChangeRecord(broker_id, broker_epoch, fenced=FENCE)
    left = leave_partitions(image, broker_id, _alive_in(image, excluded=broker_id))
    return Result((change, *left), None, atomic=False)


def unfence_broker(image: MetadataImage, broker_id: int, broker_epoch: int) -> Result[None]:
    """The broker has caught up: it may lead, and leads what has no leader and needs it."""
    check_broker_epoch(image, broker_id, broker_epoch)
    if not image.brokers[broker_id].fenced:
        return Result((), None)
    change = BrokerRegistrationChangeRecord(broker_id, broker_epoch, fenced=UNFENCE)
    led = lead_orphans(image, broker_id, _alive_in(image, included=broker_id))
    return Result((change, *led), None, atomic=False)


def begin_controlled_shutdown(
    image: MetadataImage, broker_id: int, broker_epoch: int
) -> Result[None]:
    """The broker wants to stop: where another replica is in sync, that one leads from now on."""
    check_broker_epoch(image, broker_id, broker_epoch)
    if image.brokers[broker_id].in_controlled_shutdown:
        return Result((), None)
    change = BrokerRegistrationChangeRecord(
        broker_id, broker_epoch, in_controlled_shutdown=SHUTTING_DOWN
    )
    moved = (
        moves
        for moves in leave_partitions(image, broker_id, _alive_in(image, excluded=broker_id))
        if moves.isr is not None  # the last in-sync replica leads until the very end
    )
    return Result((change, *moved), None, atomic=False)


def unregister_broker(image: MetadataImage, broker_id: int) -> Result[None]:
    """Forget a broker. Raises BrokerIdNotRegisteredError."""
    broker = image.brokers.get(broker_id)
    if broker is None:
        raise BrokerIdNotRegisteredError(f"Broker {broker_id} is not registered.")
    left = leave_partitions(image, broker_id, _alive_in(image, excluded=broker_id))
    return Result((*left, UnregisterBrokerRecord(broker_id, broker.epoch)), None, atomic=False)


def _check_registration(image: MetadataImage, registration: Registration) -> None:
    """Raises InvalidRequestError or UnsupportedVersionError."""
    if not registration.log_dirs:
        raise InvalidRequestError("A broker registers with at least one log directory.")
    if len(set(registration.log_dirs)) < len(registration.log_dirs):
        raise InvalidRequestError("A broker registers each of its log directories once.")
    for directory in registration.log_dirs:
        if int.from_bytes(directory, "big") < _RESERVED_DIRECTORIES:
            raise InvalidRequestError(f"The directory id {uuid_text(directory)} is reserved.")
        for other in image.brokers.values():
            if other.broker_id != registration.broker_id and directory in other.log_dirs:
                raise InvalidRequestError(
                    f"Broker {other.broker_id} has the log directory {uuid_text(directory)} already"
                )
    if not registration.endpoints:
        raise InvalidRequestError("A broker registers with at least one listener.")
    versions = dict(registration.features).get(METADATA_VERSION)
    level = image.features.metadata_version
    if versions is None or not versions.min <= level <= versions.max:
        raise UnsupportedVersionError(
            f"Broker {registration.broker_id} does not support metadata.version {level}."
        )


def _alive_in(
    image: MetadataImage, *, excluded: int | None = None, included: int | None = None
) -> Callable[[int], bool]:
    def alive(broker_id: int) -> bool:
        if broker_id == included:
            return True
        broker = image.brokers.get(broker_id)
        return broker_id != excluded and broker is not None and broker.active

    return alive
