"""The sentences of `tierbroker topic why`: rules and figures in, words for a person out."""

from collections.abc import Mapping, Sequence

from tierbroker.cli.times import utc_text
from tierbroker.hot.compaction_reasons import CompactionReason, CompactionRule, CompactionView
from tierbroker.hot.config import LogConfig
from tierbroker.hot.retention_reasons import Reason, Rule
from tierbroker.hot.segments_on_disk import OpenTransaction, SegmentOnDisk

_RETENTION = {
    Rule.DUE: "nothing keeps it: the next check of retention removes it",
    Rule.LOG_START: "all of it lies below the log start (records deleted by DeleteRecords, or by "
    "retention): the next check of retention removes it",
    Rule.HIGH_WATERMARK: "due, but its end is above the high watermark",
    Rule.OLDER_FIRST: "an older segment holds newer records, and segments go oldest first",
    Rule.AGE: "its newest record is not older than retention.ms",
    Rule.SIZE: "the segments behind it do not hold retention.bytes yet",
    Rule.FOREVER: "neither retention.ms nor retention.bytes limits this topic",
    Rule.NOT_IN_STORE: "due to leave this disk, but no checkpoint in the object store names it "
    "yet: see tierbroker tier status",
    Rule.COMPACTION: "cleanup.policy is not delete: compaction rewrites, retention removes nothing",
}

_COMPACTION = {
    CompactionRule.ACTIVE: "it is still written, and only closed segments are compacted",
    CompactionRule.DUE_BY_LAG: "the next round of compaction reads it: max.compaction.lag.ms is "
    "over for a record",
    CompactionRule.MIN_LAG: "a record in it or before it is younger than min.compaction.lag.ms",
    CompactionRule.NOT_STABLE: "its end is not flushed on every replica yet, and compaction stays "
    "below that",
    CompactionRule.DAMAGED: "a part of the log is damaged, and it is not compacted until that is "
    "repaired: tierbroker log damage",
    CompactionRule.CLEANER_OFF: "log.cleaner.enable is false: this broker compacts nothing",
}
_LAST_VALUES = "it holds the last values of keys, and tombstones until delete.retention.ms is over"
_NOTHING_LEFT = (
    "newer values of all its keys follow, and a later round merges the empty segment with its "
    "neighbours"
)

REMOVED = (
    "let go by retention, DeleteRecords or compaction: its file is removed file.delete.delay.ms "
    "after that, at a check of retention, or when the broker starts"
)


_TIERED = {
    Rule.DUE: "it is in the object store: the next check of retention removes it from this disk",
    Rule.AGE: "on this disk until its newest record is older than local.retention.ms; the object "
    "store keeps it until retention.ms or retention.bytes",
    Rule.SIZE: "on this disk until the segments behind it hold local.retention.bytes; the object "
    "store keeps it until retention.ms or retention.bytes",
    Rule.FOREVER: "neither local.retention.ms nor local.retention.bytes lets it leave this disk",
}


def by_retention(reason: Reason, *, tiered: bool) -> str:
    """What retention says of a segment."""
    text = (_TIERED.get(reason.rule) if tiered else None) or _RETENTION[reason.rule]
    if reason.from_the_future:
        text += "; its newest record is far ahead of the clock"
    return text


def by_compaction(
    reason: CompactionReason,
    view: CompactionView,
    size_bytes: int,
    transactions: Sequence[OpenTransaction],
    names: Mapping[int, str] | None,
) -> str:
    """What compaction says of a segment."""
    share = f"{(view.dirty_ratio or 0) * 100:.1f} % of the log was never compacted"
    match reason.rule:
        case CompactionRule.CLEANED:
            text = f"compacted, the cleaner point is at offset {view.cleaned_to}: "
            text += _LAST_VALUES if size_bytes else _NOTHING_LEFT
        case CompactionRule.DUE:
            text = f"the next round of compaction reads it: {share}"
        case CompactionRule.DIRTY_RATIO:
            text = f"compaction waits: {share}, not more than min.cleanable.dirty.ratio"
            text += "" if reason.until_ms is None else "; max.compaction.lag.ms forces it"
        case CompactionRule.OPEN_TRANSACTION:
            text = _open_transaction(transactions, names)
        case rule:
            text = _COMPACTION[rule]
    return text


def _open_transaction(
    transactions: Sequence[OpenTransaction], names: Mapping[int, str] | None
) -> str:
    """`names` of producers as the broker told them; None when it was not asked."""
    first = transactions[0]
    who, step = f"producer {first.producer_id}", "see tierbroker transaction ls --open"
    name = None if names is None else names.get(first.producer_id)
    if name is not None:
        who = f"transactional id {name} ({who})"
        step = f"see tierbroker transaction show {name}"
    elif names is not None:
        step = (
            "no transactional id has it any more; end it with Kafka's kafka-transactions.sh abort "
            f"--start-offset {first.first_offset}"
        )
    return (
        f"compaction stays below offset {first.first_offset}, where a transaction of {who} is "
        f"open: {step}"
    )


def rolls(segment: SegmentOnDisk, config: LogConfig) -> str:
    """When the active segment makes place for the next one."""
    left = max(config.segment_bytes - segment.size_bytes, 0)
    text = f"a new one begins {left} bytes from now (segment.bytes)"
    if segment.first_ms >= 0:
        text += f" or with a record later than {utc_text(segment.first_ms + config.max_segment_ms)}"
        shorter = config.max_segment_ms < config.segment_ms
        text += " (max.compaction.lag.ms)" if shorter else " (segment.ms)"
    return text
