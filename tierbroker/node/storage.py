"""The disk side of a node: file system, log directories, flusher and logs, bound together."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from tierbroker.base.clock import Clock
from tierbroker.base.config import ConfigValues
from tierbroker.base.executor import Executor
from tierbroker.base.fs import FileSystem
from tierbroker.base.ids import TopicPartition, Uuid
from tierbroker.base.scheduler import Scheduler
from tierbroker.controller.state.image import MetadataImage
from tierbroker.controller.state.topics import INTERNAL_TOPICS
from tierbroker.hot.config_origin import TopicConfigs
from tierbroker.hot.file_cache import FileCache
from tierbroker.hot.flush import FlushStrategy, GroupFlusher
from tierbroker.hot.flush_strategy import make_strategy
from tierbroker.hot.log_dir import LogDir
from tierbroker.hot.log_dirs import LogDirs
from tierbroker.hot.log_manager import LogManager
from tierbroker.hot.log_startup import LogStartup
from tierbroker.hot.scrub import Scrub
from tierbroker.hot.scrub_state import ScrubState

AT_ONCE_S = 0.2
"""So long the opening of logs may keep clients waiting; the rest is done while they are served."""


@dataclass(slots=True)
class Storage:
    """Everything between the broker and its disks."""

    fs: FileSystem
    dirs: LogDirs
    cache: FileCache
    strategy: FlushStrategy
    flusher: GroupFlusher
    logs: LogManager
    scrub: Scrub

    def close(self) -> None:
        """Let go of descriptors that belong to no log."""
        self.strategy.close()
        self.cache.close_idle()


def open_storage(
    values: ConfigValues,
    fs: FileSystem,
    executor: Executor,
    clock: Clock,
    rng: random.Random,
    scheduler: Scheduler,
    on_dir_offline: Callable[[LogDir, OSError], None],
) -> Storage:
    """Lock the log directories and prepare what works on them; no log is opened yet.

    Raises DataDirError.
    """
    dirs = LogDirs.open(
        fs,
        values.texts("log.dirs") or values.texts("log.dir"),
        rng=rng,
        node_id=values.integer("node.id"),
        cluster_id=values.text("cluster.id"),
        reserve_bytes=values.integer("log.disk.reserve.bytes"),
    )
    cache = FileCache(fs)
    logs = LogManager(
        dirs,
        cache,
        executor,
        clock,
        rng,
        producer_expiration_ms=values.integer("producer.id.expiration.ms"),
        on_dir_offline=on_dir_offline,
    )
    strategy = make_strategy(
        str(values["log.flush.strategy"]), fs, [log_dir.path for log_dir in dirs], clock
    )
    flusher = GroupFlusher(strategy, executor, logs.take_path_offline, scheduler.call_soon, clock)
    scrub = Scrub(
        logs,
        ScrubState(fs, next(iter(dirs)).path, clock.now_ms()),
        executor,
        clock,
        doubted=cache.doubted,
        bytes_per_second=values.integer("log.scrub.bytes.per.second"),
        interval_ms=values.integer("log.scrub.interval.ms"),
    )
    return Storage(fs, dirs, cache, strategy, flusher, logs, scrub)


def open_logs(
    logs: LogManager,
    image: MetadataImage,
    topic_configs: TopicConfigs,
    broker_id: int,
    clock: Clock,
) -> int:
    """Open every log that the metadata places on this broker.

    Returns the broker epoch of the last run if that ended in order, else -1. Raises DataDirError.
    """
    startup = find_logs(logs, image, topic_configs, broker_id, clock)
    startup.open_now(math.inf)
    startup.finish(startup.sync())
    return startup.report.previous_broker_epoch


def find_logs(
    logs: LogManager,
    image: MetadataImage,
    topic_configs: TopicConfigs,
    broker_id: int,
    clock: Clock,
) -> LogStartup:
    """Look for every log that the metadata places on this broker, and open those of the
    coordinators and as many others as take no more than a moment. Raises DataDirError.
    """

    def expected_topic_id(place: TopicPartition) -> Uuid | None:
        topic = image.topic(place.topic)
        if topic is None or place.partition >= len(topic.partitions):
            return None
        held = broker_id in topic.partitions[place.partition].replicas
        return topic.topic_id if held else None

    startup = LogStartup(
        logs,
        lambda name: topic_configs.log_config(image.configs.topic(name)),
        expected_topic_id,
        clock,
    )
    startup.prepare(INTERNAL_TOPICS)
    startup.open_now(AT_ONCE_S, INTERNAL_TOPICS)
    return startup
