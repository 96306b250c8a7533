"""Listing for `tierbroker archive ls`: a row for each partition that has anything in the store."""

from collections.abc import Mapping
from functools import partial

import click

from tierbroker.base.ids import TopicPartition
from tierbroker.base.story import all_of, tell, until
from tierbroker.cli.archive_session import check_topic, run_with_archive
from tierbroker.cli.output import Cell, Column, print_rows
from tierbroker.cli.times import utc_text
from tierbroker.cold.archive import Archive, first_offset, first_time_ms
from tierbroker.cold.ports import ObjectStore
from tierbroker.records.tier.state import PartitionTier

AT_ONCE = 32
"""Requests for the first times of partitions."""

_COLUMNS = (
    Column("topic", "TOPIC"),
    Column("partition", "PARTITION", numeric=True),
    Column("first_offset", "FIRST OFFSET", numeric=True),
    Column("last_offset", "LAST OFFSET", numeric=True),
    Column("first_time", "FROM"),
    Column("last_time", "TO"),
    Column("segments", "SEGMENTS", numeric=True),
    Column("bytes", "BYTES", numeric=True),
    Column("not_uploaded", "NOT UPLOADED", numeric=True),
)


def list_partitions(
    url: str, topic: str | None, settings: Mapping[str, str], *, as_json: bool
) -> None:
    """Raises CommandFailedError."""
    archive, rows = run_with_archive(url, settings, partial(_rows, url, topic, settings))
    print_rows(_COLUMNS, rows, as_json=as_json)
    if as_json:
        return
    without = [name for name in archive.topics if not archive.tiers(name)]
    click.echo(
        f"\nCluster {archive.head.cluster_id} as of {utc_text(archive.checkpoint.taken_ms)}."
        + (f" Nothing is there of: {', '.join(sorted(without))}." if without else ""),
        err=True,
    )


async def _rows(
    url: str,
    topic: str | None,
    settings: Mapping[str, str],
    store: ObjectStore,
    archive: Archive,
) -> tuple[Archive, list[list[Cell]]]:
    if topic is not None:
        check_topic(archive, topic, url, settings)
    names = sorted(archive.topics) if topic is None else [topic]
    found = [(name, tier) for name in names for tier in archive.tiers(name)]
    rows: list[list[Cell]] = []
    for start in range(0, len(found), AT_ONCE):
        part = found[start : start + AT_ONCE]
        times = await until(all_of([tell(first_time_ms(store, archive, tier)) for _, tier in part]))
        rows += [
            _row(archive, name, tier, time_ms)
            for (name, tier), time_ms in zip(part, times, strict=True)
        ]
    return archive, rows


def _row(archive: Archive, topic: str, tier: PartitionTier, first_ms: int) -> list[Cell]:
    end = archive.log_ends.get(TopicPartition(topic, tier.partition))
    newest = tier.segments.last or tier.slices.last
    assert newest is not None, "tiers without objects are not listed"
    return [
        topic,
        tier.partition,
        first_offset(tier),
        tier.end_offset,
        utc_text(first_ms) if first_ms >= 0 else None,
        utc_text(newest.max_timestamp_ms),
        len(tier.segments) + sum(entry.count for entry in tier.slices),
        tier.size_bytes,
        None if end is None else max(end - tier.end_offset - 1, 0),
    ]
