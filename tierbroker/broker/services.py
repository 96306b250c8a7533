"""What handlers may use: the broker's parts, bound together by `node`.

Values and ports only. A handler reads the metadata image, asks partitions, and submits decisions
to the controller; it knows nothing of sockets, files or loops.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from tierbroker.base.clock import Clock
from tierbroker.base.config import ConfigSchema, ConfigValues
from tierbroker.base.deadlines import Deadlines
from tierbroker.base.pending import Pending
from tierbroker.base.scheduler import Scheduler
from tierbroker.base.turns import Turns
from tierbroker.broker.fetch_sessions import FetchSessionCache
from tierbroker.broker.producer_ids import ProducerIds
from tierbroker.broker.topic_bodies import Disks, TopicBodies
from tierbroker.controller.driver import MetadataDriver
from tierbroker.controller.state.environment import Environment
from tierbroker.controller.state.image import Endpoint, MetadataImage
from tierbroker.controller.state.topics import TopicOutcome
from tierbroker.groups.coordinator import GroupCoordinator
from tierbroker.hot.config_origin import BrokerLayer, TopicConfigs
from tierbroker.hot.log_dirs import LogDirs
from tierbroker.records.batch import NO_SEQUENCE
from tierbroker.replication.partition import Partition
from tierbroker.replication.partitions import Partitions
from tierbroker.transactions.coordinator import TransactionCoordinator
from tierbroker.transactions.ports import Markers
from tierbroker.wire.error_codes import ErrorCode


class Gate(Protocol):
    """Lets records of transactions into partitions that are part of them."""

    def admit(
        self,
        transactional_id: str,
        producer_id: int,
        producer_epoch: int,
        partition: Partition,
        *,
        implicit: bool,
        then: Callable[[ErrorCode], None],
        knows_abortable: bool = True,
        first_sequence: int = NO_SEQUENCE,
    ) -> None:
        """`then` gets NONE when the records may be appended, within that very call.

        `implicit` adds the partition to the transaction; otherwise it must have been added.
        Clients that do not know TRANSACTION_ABORTABLE are told INVALID_TXN_STATE.
        """

    def holds(self, producer_id: int) -> bool:
        """Whether a call of the producer waits for its answer: nothing may overtake that one."""

    def hold(self) -> None:
        """Ask nothing until `let_go`."""

    def let_go(self) -> None:
        """Put one question for all calls since `hold`: those of one request."""


@dataclass(slots=True)
class BrokerServices:
    """One broker, as handlers see it."""

    broker_id: int
    cluster_id: str
    controller: MetadataDriver
    partitions: Partitions
    log_dirs: LogDirs
    deadlines: Deadlines
    groups: GroupCoordinator
    transactions: TransactionCoordinator
    txn_gate: Gate
    txn_markers: Markers
    fetch_sessions: FetchSessionCache
    producer_ids: ProducerIds
    schema: ConfigSchema
    layers: tuple[BrokerLayer, ...]
    """What was set for this broker, as text, the strongest first."""
    values: ConfigValues
    """Effective value of every broker key."""
    topic_configs: TopicConfigs
    clock: Clock
    scheduler: Scheduler
    fetch_max_bytes: int
    """Most bytes of records in one answer (fetch.max.bytes)."""
    environment: Environment
    """What the controller's deciders may know beside the image."""
    auto_creating: dict[str, Pending[list[TopicOutcome]]] = field(default_factory=dict)
    """Topics whose automatic creation is under way."""
    topic_bodies: TopicBodies = field(default_factory=TopicBodies)
    """What Metadata answers of topics, packed."""

    @property
    def image(self) -> MetadataImage:
        """The newest committed metadata."""
        return self.controller.image

    @property
    def disks(self) -> Disks:
        """The log directories of this broker that work."""
        online = self.log_dirs.online
        return Disks(self.broker_id, frozenset([log_dir.directory_id for log_dir in online]))

    def turns(self) -> Turns:
        """For the work on one request that may be long."""
        return Turns(self.scheduler)

    def endpoint_of(self, broker_id: int, listener: str) -> Endpoint | None:
        """Where clients of a listener reach a live broker, None when they cannot."""
        broker = self.image.brokers.get(broker_id)
        return None if broker is None or broker.fenced else broker.endpoint(listener)
