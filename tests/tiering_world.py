"""A broker's whole cold tier on one real log, with a store that fails when told to.

It starts, is killed and starts again, and comes back from its bucket when its disk is lost. Time
moves in `run`, with a tick a second.
"""

from pathlib import Path
from typing import Any, cast

import pytest

from tests.log_setup import TOPIC_PARTITION, LogSetup
from tests.metadata_cluster import cluster, replayed, with_topic
from tests.tier_world import TOPIC_ID, FakeDriver
from tests.tiered_log import SETTINGS, OnePartition, TieredLog
from tierbroker.base.fs import OsFileSystem
from tierbroker.base.ids import uuid_text
from tierbroker.base.story import tell
from tierbroker.cold.head import Head, decode_head
from tierbroker.cold.keys import HEAD_KEY
from tierbroker.controller.records.config_record import ConfigRecord
from tierbroker.controller.records.no_op_record import NoOpRecord
from tierbroker.node import tiering as module
from tierbroker.node.metadata_on_disk import read_metadata
from tierbroker.node.restoring import Restored, restore
from tierbroker.node.settings import Settings
from tierbroker.node.tiering import Tiering
from tierbroker.records.tier.state import PartitionTier, TierState
from tierbroker.replication.partition import Appender, Partition

CLUSTER_ID = uuid_text(TOPIC_ID)


class NoGroups:
    """Nobody has committed an offset."""

    def active_shards(self) -> list[Any]:
        return []


class TieringWorld(TieredLog):
    """`start` it; time brings a tick a second."""

    tiering: Tiering

    def __init__(self, path: Path, patch: pytest.MonkeyPatch, **settings: str) -> None:
        super().__init__(str(path / "t-0"))
        self.path = path
        image = with_topic(cluster(1), "t", (1,))
        tiered = ConfigRecord(2, "t", "remote.storage.enable", "true")
        self.driver = FakeDriver(replayed(image, [tiered]))
        patch.setattr(module, "open_store", lambda *_: self.store)
        dotted = {key.replace("_", "."): value for key, value in settings.items()}
        self.values = Settings.load({"cold.url": "memory://", **dotted}, {}).values
        self.lives = 0
        self._make_tiering()

    def _make_tiering(self) -> None:
        self.tiering = Tiering(
            "memory://",
            self.values,
            cluster_id=CLUSTER_ID,
            restore="tierbroker restore --from memory:// --data DIR",
            driver=cast("Any", self.driver),
            groups=cast("Any", NoGroups()),
            partitions=self.held,
            fs=self.setup.fs,
            clock=self.clock,
            rng=self.rng,
            scheduler=self.scheduler,
            post=lambda call: call(),
            on_failure=lambda error, name: self.failures.append((error, name)),
        )

    @property
    def state(self) -> TierState:
        return self.driver.image.tier

    def tier(self, number: int = 0) -> PartitionTier:
        found = self.state.partition(self.log.topic_id, number)
        assert found is not None
        return found

    def start(self) -> None:
        """The broker starts: finds its store, and gives the log to the partition."""
        self.tiering.start().result()

    def run(self, seconds: int) -> None:
        """Let time pass."""
        for _ in range(seconds * 4):
            self.clock.advance(250)
            self.scheduler.advance(0.25)
            if self.clock.now_ms() % 1000 == 0:
                self.tiering.tick()
                self.scheduler.end_turn()
        assert not self.failures

    def head(self) -> Head:
        """What the store's head says."""
        return decode_head(self.store.contents[HEAD_KEY])

    @property
    def checkpointed(self) -> bool:
        """Whether there is something to restore from."""
        content = self.store.contents.get(HEAD_KEY)
        return content is not None and decode_head(content).latest is not None

    def die(self) -> None:
        """The process is gone; what it asked of the store may still happen."""
        self.tiering.stop()
        self.store.hold_no_more()
        self.lives += 1

    def start_again(self) -> None:
        """On the same disk."""
        self.die()
        start_offset = self.log.log_start_offset
        self.setup.kill()
        self.log = self.setup.open(log_start_offset=start_offset)
        self.driver.apply(NoOpRecord())  # as the registration of the broker is
        self._come_up()

    def restore(self) -> Restored:
        """On an empty disk, from the bucket."""
        self.die()
        directory = self.path / f"life{self.lives}"
        flags = {"log.dirs": str(directory), "node.id": "1"}
        restored = tell(
            restore(self.store, flags, fs=OsFileSystem(), clock=self.clock, rng=self.rng)
        ).result()
        self.driver = FakeDriver(read_metadata(OsFileSystem(), str(directory)))
        self.setup.kill()
        self.setup = LogSetup(str(directory / "t-0"), values=dict(SETTINGS))
        self.setup.clock = self.clock
        self.log = self.setup.open()
        self._come_up()
        return restored

    def _come_up(self) -> None:
        self.log.topic_id = TOPIC_ID
        self.log.config = self.setup.config
        registered = self.driver.image.topic("t")
        assert registered is not None
        self.led = Partition(
            TOPIC_PARTITION, TOPIC_ID, None, Appender(self.scheduler), cast("Any", None)
        )
        self.held = cast("Any", OnePartition(self.led))
        self._make_tiering()
        self.led.cold = self.tiering.part_of(TOPIC_PARTITION, TOPIC_ID)
        self.led.is_leader = True
        self.led.leader_epoch = registered.partitions[0].leader_epoch
        self.start()
        if self.tiering.is_ahead(TOPIC_ID, 0, self.log):
            self.tiering.catch_up(self.led, self.log)
        else:
            self.led.take_log(self.log)
