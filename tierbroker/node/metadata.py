"""The metadata side of a node: its quorum, its registration, its producer ids."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tierbroker.base.clock import Clock
from tierbroker.base.errors import DataDirError
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
from tierbroker.node.settings import Settings
from tierbroker.node.storage import Storage
from tierbroker.replication.metadata_log import (
    format_metadata_log,
    open_metadata_log,
    read_bootstrap,
)
from tierbroker.server.limits import ListenerConfig


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
        format_metadata_log(storage.fs, log_dir.path, voters, bootstrap, clock.now_ms())
        metadata_log = open_metadata_log(
            storage.cache,
            log_dir.path,
            flusher=storage.flusher,
            clock=clock,
            rng=rng,
            on_offline=lambda _, error: storage.logs.take_offline(log_dir, error),
        )
        bootstrap = read_bootstrap(storage.fs, log_dir.path) or bootstrap
    except (CorruptLogError, MetadataCorruptError, OSError) as error:
        raise DataDirError(
            f"The metadata log in {log_dir.path} cannot be used: {error}. Nothing was changed; "
            "restore the directory from a backup, or start with an empty one."
        ) from error
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
            Endpoint(
                listener.name,
                listener.advertised_host or listener.host or "localhost",
                listener.advertised_port or ports[listener.name],
            )
            for listener in listeners
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
