"""One partition with its log directory, its start and its cleaner, and no broker around them."""

import random
from typing import TYPE_CHECKING

from tests.cleaning_world import HandChildren, flush_at_once
from tests.sim.disk import SimDisk
from tierbroker.base.background import Background
from tierbroker.base.clock import ManualClock
from tierbroker.base.executor import InlineExecutor
from tierbroker.base.ids import TopicPartition, Uuid
from tierbroker.base.scheduler import ManualScheduler
from tierbroker.hot.cleaning.cleaner import Cleaner
from tierbroker.hot.cleaning.config import CleanerConfig
from tierbroker.hot.config import LogConfig
from tierbroker.hot.file_cache import FileCache
from tierbroker.hot.log_dirs import LogDirs
from tierbroker.hot.log_manager import LogManager
from tierbroker.hot.log_startup import LogStartup

if TYPE_CHECKING:
    from tierbroker.hot.log import Log

SLOT = TopicPartition("t", 0)


class Life:
    """The log and its cleaner from a start to the end of the process."""

    def __init__(
        self, path: str, fs: SimDisk, clock: ManualClock, config: LogConfig, topic_id: Uuid
    ) -> None:
        self.dirs = LogDirs.open(fs, [path], rng=random.Random(1), node_id=1)
        self.manager = LogManager(
            self.dirs, FileCache(fs, capacity=4), InlineExecutor(), clock, random.Random(2)
        )
        LogStartup(self.manager, lambda _: config, lambda _: topic_id, clock).run()
        log = self.manager.get_or_create(SLOT, topic_id, config)
        assert log is not None, self.manager.failed
        self.log: Log = log
        self.children = HandChildren(fs)
        self.scheduler = ManualScheduler()
        self.cleaner = Cleaner(
            self.manager,
            CleanerConfig(100_000, 0.9, 1000, 1e12),
            self.children,
            InlineExecutor(),
            clock,
            Background(clock, self.scheduler.call_soon),
            lambda log: log.producer_state.last_stable_offset(log.flushed_offset),
            flush_at_once,
        )

    def clean(self) -> None:
        """One round, if one is due."""
        self.cleaner.tick()
        self.scheduler.end_turn()
        while self.children.jobs:
            self.children.work()
            self.scheduler.end_turn()
