"""Brokers that are broken on purpose: the simulation is worth something if it notices each.

A defect changes one rule of the production code for the time of a test.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.sim.disk import SimDisk
from tierbroker.hot import log_cutting, log_loader, segment_recovery
from tierbroker.hot.flush import FlushTarget
from tierbroker.hot.flush_strategy import PerFileFlush
from tierbroker.hot.log import Log
from tierbroker.hot.producer_state import ProducerState, StagedProducers
from tierbroker.hot.segment import ReadableSegment
from tierbroker.hot.txn_index_file import AbortedIndexes
from tierbroker.records.key_table import KeyTable
from tierbroker.records.txn_index import AbortedTxn
from tierbroker.replication import partition
from tierbroker.replication.partition import Partition

Plant = Callable[[pytest.MonkeyPatch], None]


def acknowledge_before_flush(patch: pytest.MonkeyPatch) -> None:
    """acks=all is answered like acks=1."""
    append = Partition.append

    def early(self: Partition, batch: Any, header: Any, required_acks: int, *more: Any) -> None:
        append(self, batch, header, 1, *more)

    patch.setattr(Partition, "append", early)


def high_watermark_is_the_log_end(patch: pytest.MonkeyPatch) -> None:
    """Consumers see what is not flushed yet."""
    patch.setattr(partition, "_waits_for_flush", lambda log: False)


def no_deduplication(patch: pytest.MonkeyPatch) -> None:
    """Every batch is taken for a new one."""

    def admit(self: StagedProducers, header: Any, base_offset: int, *more: Any) -> None:
        self.accept(header, base_offset)

    patch.setattr(StagedProducers, "admit", admit)


def deduplication_lost_on_restart(patch: pytest.MonkeyPatch) -> None:
    """A start forgets the producers."""

    def forget(
        state: ProducerState, segments: Any, snapshots: Any, end: int, **_: Any
    ) -> list[Any]:
        state.clear(end)
        return []

    patch.setattr(log_loader, "rebuild_producers", forget)
    patch.setattr(log_loader, "recall_batches", lambda *_: None)


def no_directory_sync(patch: pytest.MonkeyPatch) -> None:
    """New and renamed files are not made durable by name."""
    patch.setattr(SimDisk, "fsync_dir", lambda self, path: None)


def retry_after_a_failed_sync(patch: pytest.MonkeyPatch) -> None:
    """The second try succeeds, and proves nothing."""
    flush = PerFileFlush.flush

    def again(self: PerFileFlush, targets: Sequence[FlushTarget]) -> None:
        try:
            flush(self, targets)
        except OSError:
            flush(self, targets)

    patch.setattr(PerFileFlush, "flush", again)


def retention_by_wall_clock(patch: pytest.MonkeyPatch) -> None:
    """The age of a segment is that of its file, not of its records."""

    def newest_ms(log: Log, segment: ReadableSegment) -> int:
        return log.fs.mtime_ms(segment.handle.path)

    patch.setattr(log_cutting, "newest_ms", newest_ms)


def compaction_drops_the_last_value(patch: pytest.MonkeyPatch) -> None:
    """The cleaner takes each key for superseded, by the record that follows it."""
    seal = KeyTable.seal

    def sealed(self: KeyTable) -> Callable[[bytes, int], int]:
        find = seal(self)
        return lambda name, default: find(name, default - 1) + 1

    patch.setattr(KeyTable, "seal", sealed)


def truncation_on_damage(patch: pytest.MonkeyPatch) -> None:
    """Recovery takes every bad batch for the torn end of the log."""
    patch.setattr(segment_recovery._Judging, "_region", lambda self, fault: None)


def aborted_list_unsorted(patch: pytest.MonkeyPatch) -> None:
    """The latest aborted transaction comes first."""
    within = AbortedIndexes.within

    def backwards(self: AbortedIndexes, *args: Any) -> list[AbortedTxn]:
        return within(self, *args)[::-1]

    patch.setattr(AbortedIndexes, "within", backwards)


DEFECTS: tuple[Plant, ...] = (
    acknowledge_before_flush,
    high_watermark_is_the_log_end,
    no_deduplication,
    deduplication_lost_on_restart,
    no_directory_sync,
    retry_after_a_failed_sync,
    retention_by_wall_clock,
    compaction_drops_the_last_value,
    truncation_on_damage,
    aborted_list_unsorted,
)
