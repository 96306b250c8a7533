"""The rows of `tierbroker topic why`: each segment of a partition, with what keeps it.

Reads a partition's directory, and asks the broker there for names at most; changes nothing.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from tierbroker.base.fs import FileSystem
from tierbroker.base.ids import TopicPartition
from tierbroker.cli.output import Cell, Column
from tierbroker.cli.running_broker import RunningBroker
from tierbroker.cli.times import utc_text
from tierbroker.cli.why_words import REMOVED, by_compaction, by_retention, rolls
from tierbroker.hot.compaction_reasons import (
    CompactedSegment,
    CompactionReason,
    CompactionRule,
    CompactionView,
    explain_compaction,
)
from tierbroker.hot.config import FlushMode, LogConfig
from tierbroker.hot.config_origin import ConfigOrigin, ConfigSource
from tierbroker.hot.offset_checkpoint import (
    CLEANER_FILE,
    HIGH_WATERMARK_FILE,
    LOG_START_FILE,
    RECOVERY_POINT_FILE,
    OffsetCheckpoint,
)
from tierbroker.hot.retention import SegmentFacts
from tierbroker.hot.retention_reasons import Reason, Rule, explain
from tierbroker.hot.segments_on_disk import (
    OpenTransaction,
    RemovedSegment,
    SegmentOnDisk,
    look_at_removed,
    look_at_segments,
    look_at_transactions,
)

COLUMNS = (
    Column("partition", "Partition", numeric=True),
    Column("segment", "Segment", numeric=True),
    Column("end", "End", numeric=True),
    Column("bytes", "Bytes", numeric=True),
    Column("active", "Active"),
    Column("newest", "Newest record"),
    Column("rule", "Rule"),
    Column("until", "Until"),
    Column("until_more_bytes", "Or bytes more", numeric=True),
    Column("setting", "Setting"),
    Column("source", "Set by"),
    Column("compaction_rule", "Compaction"),
    Column("compaction_until", "Compaction until"),
    Column("compaction_until_more_bytes", "Or bytes more", numeric=True),
    Column("compaction_setting", "Compaction setting"),
    Column("compaction_source", "Set by"),
    Column("dirty_ratio", "Dirty ratio", numeric=True),
    Column("cleaner_point", "Cleaner point", numeric=True),
    Column("log_start", "Log start", numeric=True),
    Column("transaction_since", "Transaction since", numeric=True),
    Column("transaction_producer", "Producer id", numeric=True),
    Column("transactional_id", "Transactional id"),
    Column("broker_settings", "Broker settings from"),
    Column("why", "Why it is still there"),
)

ALSO_NEEDED = ("log.cleaner.enable", "log.retention.check.interval.ms")
"""Keys of the broker alone that a row may name."""

_SOURCES = {
    ConfigSource.DYNAMIC_TOPIC_CONFIG: "topic",
    ConfigSource.STATIC_BROKER_CONFIG: "broker",
    ConfigSource.DEFAULT_CONFIG: "default",
}
_ATTEMPTS = 3
"""A running broker may remove a file between two looks."""

_Row = dict[str, Cell]


@dataclass(frozen=True, slots=True)
class Topic:
    """What is in force for a topic."""

    config: LogConfig
    origins: Mapping[str, ConfigOrigin]
    """Of the topic's keys, and of ALSO_NEEDED."""
    compacts: bool
    """Whether the broker compacts at all."""
    broker: RunningBroker | None
    """The one that was asked for its settings."""
    in_store_to: Callable[[int], int]
    """Of a partition: the offset below which a checkpoint of the cold tier has all."""


@dataclass(frozen=True, slots=True)
class _Partition:
    """What the disk says of one partition."""

    segments: list[SegmentOnDisk]
    removed: list[RemovedSegment]
    transactions: list[OpenTransaction]
    log_start: int
    high_watermark: int
    recovery_point: int
    cleaned_to: int | None
    now_ms: int


def partition_rows(
    fs: FileSystem, directory: str, place: TopicPartition, topic: Topic
) -> list[tuple[Cell, ...]]:
    """A row for each segment, in the order of COLUMNS. Raises OSError."""
    found = _look(fs, directory, place)
    facts = [
        SegmentFacts(
            segment.end_offset, segment.size_bytes, partial(int, segment.newest_ms), segment.active
        )
        for segment in found.segments
    ]
    in_store_to = topic.in_store_to(place.partition) if topic.config.remote_storage_enable else None
    reasons = explain(
        facts, topic.config, found.now_ms, found.log_start, found.high_watermark, in_store_to
    )
    rows = [
        _segment_row(segment, reason, found, topic)
        for segment, reason in zip(found.segments, reasons, strict=True)
    ]
    if topic.config.compacted:
        _add_compaction(rows, found, topic)
    for segment, row in zip(found.segments, rows, strict=True):
        notes = [str(row["why"])]
        if segment.base_offset < found.log_start < segment.end_offset:
            notes.append(f"its records below the log start {found.log_start} are deleted already")
        if segment.active:
            notes.append(rolls(segment, topic.config))
        row["why"] = "; ".join(notes)
    for gone in found.removed:
        what: _Row = {"segment": gone.base_offset, "bytes": gone.size_bytes, "active": False}
        what |= {"rule": "removed", "why": REMOVED, **_set_by(topic, "file.delete.delay.ms")}
        rows.append(what)
    settings = "given" if topic.broker is None else str(topic.broker.address)
    common: _Row = {
        "partition": place.partition,
        "log_start": found.log_start,
        "broker_settings": settings,
    }
    return [tuple((row | common).get(column.key) for column in COLUMNS) for row in rows]


def _look(fs: FileSystem, directory: str, place: TopicPartition) -> _Partition:
    path = f"{directory}/{place}"
    attempts = _ATTEMPTS
    while True:
        attempts -= 1
        try:
            segments = look_at_segments(fs, path)
            removed = look_at_removed(fs, path)
            transactions = look_at_transactions(fs, path)
            break
        except FileNotFoundError:
            if not attempts:
                raise

    def checkpoint(name: str) -> int | None:
        return OffsetCheckpoint(fs, directory, name).read().get(place)

    first = segments[0].base_offset if segments else 0
    end = segments[-1].end_offset if segments else 0
    watermark, recovery = checkpoint(HIGH_WATERMARK_FILE), checkpoint(RECOVERY_POINT_FILE)
    return _Partition(
        segments,
        removed,
        transactions,
        log_start=max(checkpoint(LOG_START_FILE) or 0, first),
        high_watermark=end if watermark is None else watermark,
        recovery_point=end if recovery is None else recovery,
        cleaned_to=checkpoint(CLEANER_FILE),
        now_ms=int(time.time() * 1000),
    )


def _segment_row(segment: SegmentOnDisk, reason: Reason, found: _Partition, topic: Topic) -> _Row:
    row: _Row = {
        "segment": segment.base_offset,
        "end": segment.end_offset,
        "bytes": segment.size_bytes,
        "active": segment.active,
        "newest": utc_text(segment.newest_ms),
        "rule": reason.rule.value,
        "until": None if reason.until_ms is None else utc_text(reason.until_ms),
        "until_more_bytes": reason.until_more_bytes,
        "why": by_retention(reason, tiered=topic.config.remote_storage_enable),
    }
    # Nothing of the topic's own moves a segment below the log start: the next check does.
    setting = reason.setting
    if reason.rule is Rule.LOG_START:
        setting = "log.retention.check.interval.ms"
    return row | _set_by(topic, setting)


def _add_compaction(rows: list[_Row], found: _Partition, topic: Topic) -> None:
    """What compaction makes of each segment; the whole reason where retention has none."""
    view = _view(found, topic)
    held = any(r.rule is CompactionRule.OPEN_TRANSACTION for r in view.reasons)
    names: dict[int, str] | None = None
    if held and topic.broker is not None:
        names = topic.broker.transactional_ids([each.producer_id for each in found.transactions])
    for segment, row, reason in zip(found.segments, rows, view.reasons, strict=True):
        if row["rule"] in (Rule.DUE, Rule.LOG_START):
            continue
        words = by_compaction(reason, view, segment.size_bytes, found.transactions, names)
        more = _compaction_cells(reason, view, topic)
        if reason.rule is CompactionRule.OPEN_TRANSACTION:
            first = found.transactions[0]
            more["transaction_since"] = first.first_offset
            more["transaction_producer"] = first.producer_id
            more["transactional_id"] = (names or {}).get(first.producer_id)
        if row["rule"] == Rule.COMPACTION:
            for key in ("rule", "until", "until_more_bytes", "setting", "source"):
                row[key] = more[f"compaction_{key}"]
            row["why"] = words
        else:
            row["why"] = f"{row['why']}; compaction: {words}"
        row.update(more)


def _view(found: _Partition, topic: Topic) -> CompactionView:
    facts = [
        CompactedSegment(
            segment.base_offset,
            segment.end_offset,
            segment.size_bytes,
            segment.first_ms,
            segment.newest_ms,
            segment.active,
            segment.damaged,
        )
        for segment in found.segments
    ]
    durable = found.high_watermark
    if topic.config.flush_mode is not FlushMode.NONE:
        durable = min(durable, found.recovery_point)
    end = found.segments[-1].end_offset if found.segments else 0
    return explain_compaction(
        facts,
        topic.config,
        found.now_ms,
        log_start_offset=found.log_start,
        cleaned_to=found.cleaned_to,
        decided_offset=min([end, *(each.first_offset for each in found.transactions)]),
        durable_offset=durable,
        enabled=topic.compacts,
    )


def _compaction_cells(reason: CompactionReason, view: CompactionView, topic: Topic) -> _Row:
    cells: _Row = {
        "rule": reason.rule.value,
        "until": None if reason.until_ms is None else utc_text(reason.until_ms),
        "until_more_bytes": reason.until_more_bytes,
        **_set_by(topic, reason.setting),
    }
    ratio = view.dirty_ratio
    return {
        **{f"compaction_{key}": value for key, value in cells.items()},
        "dirty_ratio": None if ratio is None else round(ratio, 4),
        "cleaner_point": view.cleaned_to,
    }


def _set_by(topic: Topic, setting: str | None) -> _Row:
    """The value in force, and where it was set."""
    if setting is None:
        return {"setting": None, "source": None}
    origin = topic.origins[setting]
    source = _SOURCES.get(origin.source, origin.source.name.lower())
    # A value may come from a broker's key of another name and unit.
    name = origin.synonyms[0].name if origin.synonyms else setting
    source += f" ({name})" if name != setting else ""
    return {"setting": f"{setting}={origin.text}", "source": source}
