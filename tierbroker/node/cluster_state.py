"""What a bucket checkpoint holds, taken while the broker works (`cold.ports.ClusterState`).

The image is immutable: it is encoded a piece a turn. Group offsets are read after it, so they may
be ahead of its partitions' ends; a restore clamps them.
"""

import json
from collections.abc import Callable

from tierbroker.base.clock import Clock
from tierbroker.base.pending import Pending
from tierbroker.base.scheduler import Scheduler
from tierbroker.base.story import sleep, tell, until
from tierbroker.cold.ports import CheckpointContent
from tierbroker.cold.spool import Spool
from tierbroker.controller.driver import MetadataDriver
from tierbroker.controller.snapshotter import snapshot_batches
from tierbroker.controller.state.image import MetadataImage
from tierbroker.controller.state.snapshot import image_records
from tierbroker.groups.coordinator import GroupCoordinator
from tierbroker.groups.exporting import export_offsets
from tierbroker.replication.partitions import Partitions

BATCH_RECORDS = 200
GROUPS_A_TURN = 20
PARTITIONS_A_TURN = 200


class ClusterSnapshots:
    """Takes one when asked."""

    def __init__(
        self,
        driver: MetadataDriver,
        groups: GroupCoordinator,
        partitions: Partitions,
        clock: Clock,
        scheduler: Scheduler,
        new_spool: Callable[[], Spool],
    ) -> None:
        self._driver = driver
        self._groups = groups
        self._partitions = partitions
        self._clock = clock
        self._scheduler = scheduler
        self._new_spool = new_spool

    def take(self, known_offset: int = -1) -> Pending[CheckpointContent]:
        """See ClusterState."""
        return tell(self._take(known_offset))

    async def _take(self, known_offset: int) -> CheckpointContent:
        image = self._driver.image
        spool = self._new_spool()
        try:
            if image.offset > known_offset:
                await self._encode(image, spool)
            offsets, log_ends = await self._offsets(), await self._log_ends()
            return CheckpointContent(image.offset, spool.body(), offsets, log_ends)
        except BaseException:
            spool.release()
            raise

    async def _encode(self, image: MetadataImage, spool: Spool) -> None:
        now_ms = self._clock.now_ms()
        for batch in snapshot_batches(
            image_records(image),
            metadata_version=image.features.metadata_version,
            epoch=image.epoch,
            voter_set=None,
            last_contained_ms=now_ms,
            timestamp_ms=now_ms,
            batch_records=BATCH_RECORDS,
        ):
            await spool.append(batch)
            await until(sleep(self._scheduler, 0))

    async def _offsets(self) -> bytes:
        lines: list[str] = []
        for number, group in enumerate(export_offsets(self._groups)):
            for group_id, topic, partition, committed in group:
                lines.append(
                    json.dumps(
                        {
                            "group": group_id,
                            "topic": topic,
                            "partition": partition,
                            "offset": committed.offset,
                            "leader_epoch": committed.leader_epoch,
                            "metadata": committed.metadata,
                            "commit_timestamp_ms": committed.commit_timestamp_ms,
                        }
                    )
                )
            if number % GROUPS_A_TURN == 0:
                await until(sleep(self._scheduler, 0))
        return "".join(f"{line}\n" for line in lines).encode()

    async def _log_ends(self) -> bytes:
        lines: list[str] = []
        for number, partition in enumerate(list(self._partitions)):
            log = partition.log
            if log is not None and not log.offline:
                place = partition.topic_partition
                lines.append(
                    json.dumps(
                        {
                            "topic": place.topic,
                            "partition": place.partition,
                            "start": log.log_start_offset,
                            "end": partition.high_watermark,
                            "leader_epoch": partition.leader_epoch,
                        }
                    )
                )
            if number % PARTITIONS_A_TURN == 0:
                await until(sleep(self._scheduler, 0))
        return "".join(f"{line}\n" for line in lines).encode()
