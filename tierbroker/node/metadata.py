"""The metadata side of a node: its quorum, its registration, its producer ids."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tierbroker.base.clock import Clock
from tierbroker.base.errors import DataDirError, KafkaStorageError
from tierbroker.base.executor import Executor
from tierbroker.base.ids import random_uuid
from tierbroker.base.pending import Pending
from tierbroker.controller.config import ControllerConfig
from tierbroker.controller.driver import MetadataDriver
from tierbroker.controller.errors import MetadataCorruptError
from tierbroker.controller.raft.messages import Envelope
from tierbroker.controller.raft.types import ReplicaKey, Voter, VoterSet
from tierbroker.controller.state.brokers import Registration, register_broker
from tierbroker.controller.state.features import SUPPORTED_FEATURES, bootstrap_records
from tierbroker.controller.state.image import Endpoint, MetadataImage
from tierbroker.controller.state.producer_ids import ProducerIdsBlock, allocate_producer_ids
from tierbroker.controller.state.result import Result
from tierbroker.hot.errors import CorruptLogError
from tierbroker.hot.log_dirs import LogDirs
from tierbroker.node.addresses import advertised_address
from tierbroker.node.settings import Settings
from tierbroker.node.storage import Storage
from tierbroker.replication.metadata_log import (
    format_metadata_log,
    metadata_directory,
    open_metadata_log,
    read_bootstrap,
)
from tierbroker.server.limits import ListenerConfig

_METADATA_STEP = (
    "Nothing was changed; restore __cluster_metadata-0 from a backup, or start with an empty "
    "directory."
)


class NoTransport:
    """The way to the other voters of a quorum of one: there are none."""

    def send(self, envelope: Envelope) -> None:
        """A quorum of one has nobody to write to."""
        raise AssertionError(f"a quorum of one sends nothing, and yet: {envelope}")


def open_metadata(
    settings: Settings,
    storage: Storage,
    executor: Executor,
    clock: Clock,
    rng: random.Random,
    on_failure: Callable[[BaseException], None],
) -> MetadataDriver:
    """The driver over this node's metadata log, formatted on first use; to be started.

    Raises DataDirError when the log cannot be used.
    """
    values = settings.values
    log_dir = next(iter(storage.dirs))
    local = ReplicaKey(values.integer("node.id"), log_dir.directory_id)
    voters = VoterSet((Voter(local),))
    bootstrap = bootstrap_records()
    try:
        if not storage.fs.exists(metadata_directory(log_dir.path)):
            _refuse_lost_metadata(storage.dirs, 0)
        format_metadata_log(storage.fs, log_dir.path, voters, bootstrap, clock.now_ms())
        metadata_log = open_metadata_log(
            storage.cache,
            log_dir.path,
            flusher=storage.flusher,
            clock=clock,
            rng=rng,
            on_offline=lambda _, error: storage.logs.take_offline(log_dir, error),
        )
        try:
            _refuse_lost_metadata(storage.dirs, metadata_log.log_end_offset)
            bootstrap = read_bootstrap(storage.fs, log_dir.path) or bootstrap
        except BaseException:
            metadata_log.close()
            raise
    except (CorruptLogError, MetadataCorruptError, OSError) as error:
        raise _unusable(storage.dirs, error) from error
    return MetadataDriver(
        local=local,
        default_voters=voters,
        storage=metadata_log,
        transport=NoTransport(),
        executor=executor,
        clock=clock,
        rng=rng,
        bootstrap=bootstrap,
        config=replace(
            ControllerConfig(),
            snapshot_interval_bytes=values.integer(
                "metadata.log.max.record.bytes.between.snapshots"
            ),
        ),
        on_failure=on_failure,
    )


async def start_metadata(driver: MetadataDriver, dirs: LogDirs) -> MetadataImage:
    """Replay the log and become its leader; raises DataDirError when it contradicts itself."""
    try:
        return await driver.start()
    except (MetadataCorruptError, KafkaStorageError, OSError) as error:
        raise _unusable(dirs, error) from error


def _unusable(dirs: LogDirs, error: Exception) -> DataDirError:
    path = next(iter(dirs)).path
    return DataDirError(f"The metadata log in {path} cannot be used: {error}. {_METADATA_STEP}")


def _refuse_lost_metadata(dirs: LogDirs, end_offset: int) -> None:
    """Raise DataDirError when the metadata log is shorter than it is known to have been.

    Going on would mean an empty cluster, and every partition on the disk set aside as a stray.
    """
    for log_dir in dirs:
        previous = log_dir.previous_shutdown()
        if previous.broker_epoch >= end_offset:
            raise DataDirError(
                f"The metadata log ends at offset {end_offset}, but this broker was registered at "
                f"offset {previous.broker_epoch} when {log_dir.path} was closed: its end is lost. "
                f"{_METADATA_STEP}"
            )
        if end_offset == 0 and (held := log_dir.held_partitions()):
            raise DataDirError(
                f"The metadata log is empty, but {log_dir.path} holds {held} partitions that only "
                f"it can explain. {_METADATA_STEP}"
            )


def broker_registration(
    settings: Settings,
    dirs: LogDirs,
    listeners: Sequence[ListenerConfig],
    ports: Mapping[str, int],
    previous_epoch: int,
    rng: random.Random,
) -> Callable[[MetadataImage], Result[int]]:
    """The decision that registers this broker; its response is the broker epoch."""
    registration = Registration(
        broker_id=settings.values.integer("node.id"),
        incarnation_id=random_uuid(rng),
        endpoints=tuple(
            Endpoint(listener.name, *advertised_address(listener, ports)) for listener in listeners
        ),
        features=tuple(SUPPORTED_FEATURES.items()),
        log_dirs=tuple(log_dir.directory_id for log_dir in dirs),
        rack=settings.values.text("broker.rack"),
        previous_epoch=previous_epoch,
        fenced=False,
    )
    return lambda image: register_broker(image, registration)


def allocate_block(driver: MetadataDriver, broker_id: int, broker_epoch: int) -> Pending[range]:
    """A block of producer ids for this broker."""
    granted: Pending[range] = Pending()

    def finish(decided: Pending[ProducerIdsBlock]) -> None:
        if decided.error is not None:
            granted.fail(decided.error)
        else:
            block = decided.result()
            granted.resolve(range(block.first, block.first + block.count))

    submitted = driver.submit(lambda image: allocate_producer_ids(image, broker_id, broker_epoch))
    submitted.on_done(finish)
    return granted
