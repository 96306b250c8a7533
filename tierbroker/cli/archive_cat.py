"""Writing records for `tierbroker archive cat`: which partitions, from where to where, the loop."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import click

from tierbroker.base.errors import ApiError, KafkaStorageError
from tierbroker.base.ids import TopicPartition
from tierbroker.base.story import Story
from tierbroker.cli.archive import CatOptions
from tierbroker.cli.archive_session import check_topic, run_with_archive
from tierbroker.cli.exits import CommandFailedError
from tierbroker.cli.positions import Anchor, Position
from tierbroker.cli.progress import ProgressBar
from tierbroker.cli.record_format import RecordFormat, json_line, raw_pair, raw_value
from tierbroker.cli.store_command import store_command
from tierbroker.cli.times import utc_text
from tierbroker.cold.archive import Archive, ArchiveReader, first_offset, records_in
from tierbroker.cold.ports import ObjectStore
from tierbroker.node.archived import open_archive
from tierbroker.records.record import Record
from tierbroker.records.tier.state import PartitionTier

WRITE_RECORDS = 1000


def write_records(options: CatOptions) -> None:
    """Raises CommandFailedError."""
    run_with_archive(options.url, options.settings, partial(_write, options))


class ArchivedRecord:
    """A record in the shape in which `record_format` writes those of the client library."""

    __slots__ = ("_place", "_record")

    def __init__(self, place: TopicPartition, record: Record) -> None:
        self._place = place
        self._record = record

    def topic(self) -> str:
        return self._place.topic

    def partition(self) -> int:
        return self._place.partition

    def offset(self) -> int:
        return self._record.offset

    def timestamp(self) -> tuple[int, int]:
        time_ms = self._record.timestamp_ms
        return (0 if time_ms < 0 else 1), time_ms

    def key(self) -> bytes | None:
        return self._record.key

    def value(self) -> bytes | None:
        return self._record.value

    def headers(self) -> list[tuple[str, str | bytes | None]]:
        return [(_text(name), value) for name, value in self._record.headers]


def _text(name: str) -> str:
    """A header's name that can be written: what was no UTF-8 is shown as such."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


@dataclass(slots=True)
class _Span:
    """What is to be written of a partition."""

    tier: PartitionTier
    place: TopicPartition
    start: int
    end: int


async def _write(options: CatOptions, store: ObjectStore, archive: Archive) -> None:
    check_topic(archive, options.topic, options.url, options.settings)
    tiers = _tiers(options, archive)
    reader = ArchiveReader(store, archive, asyncio.get_running_loop())
    try:
        spans = [await _span(options, reader, tier) for tier in tiers]
        total = sum(max(span.end - span.start, 0) for span in spans)
        if options.limit is not None:
            total = min(total, options.limit)
        enabled = options.show_progress and not sys.stdout.isatty()
        with ProgressBar(f"Reading {options.topic}", total, enabled=enabled) as bar:
            await _Writing(options, reader, bar, lambda: open_archive(store)).run(spans)
    except ApiError as error:
        words = ("tier", "verify", options.url, options.topic, "--all")
        raise CommandFailedError(
            f"Cannot read {options.topic}: {error}.\nTo find all that is wrong: "
            f"{store_command(options.settings, *words)}"
        ) from error
    finally:
        reader.close()


def _tiers(options: CatOptions, archive: Archive) -> list[PartitionTier]:
    tiers = archive.tiers(options.topic)
    if not tiers:
        raise CommandFailedError(
            f"Nothing of topic {options.topic!r} was in {options.url} at its latest checkpoint, "
            f"of {utc_text(archive.checkpoint.taken_ms)}: its topic setting "
            "remote.storage.enable may be off, or no segment was closed yet."
        )
    if options.partition is None:
        return tiers
    chosen = [tier for tier in tiers if tier.partition == options.partition]
    if not chosen:
        numbers = ", ".join(str(tier.partition) for tier in tiers)
        raise CommandFailedError(
            f"Nothing of partition {options.partition} of topic {options.topic!r} is in "
            f"{options.url}; there is something of partition {numbers}."
        )
    return chosen


async def _span(options: CatOptions, reader: ArchiveReader, tier: PartitionTier) -> _Span:
    place = TopicPartition(options.topic, tier.partition)

    async def resolve(position: Position) -> int:
        at_time = None
        if position.anchor is Anchor.TIME:
            at_time = await reader.offset_for_time(tier, place, position.number)
        return position.resolve(first_offset(tier), tier.end_offset + 1, at_time)

    return _Span(tier, place, await resolve(options.start), await resolve(options.stop))


class _Writing:
    """One run of `archive cat`."""

    def __init__(
        self,
        options: CatOptions,
        reader: ArchiveReader,
        bar: ProgressBar,
        reopen: Callable[[], Story[Archive]],
    ) -> None:
        self._reader = reader
        self._bar = bar
        self._reopen = reopen
        self._format = _format_of(options)
        self._uncommitted = options.uncommitted
        self._left = sys.maxsize if options.limit is None else options.limit
        self._written = 0
        self._passed = 0

    async def run(self, spans: list[_Span]) -> None:
        for span in spans:
            offset = span.start
            while offset < span.end and self._left:
                try:
                    read = await self._reader.read(span.tier, span.place, offset)
                except KafkaStorageError as error:
                    offset = await self._retired_to(span, offset, error)
                    continue
                records = records_in(read, offset, span.end, uncommitted=self._uncommitted)
                self._write(ArchivedRecord(span.place, record) for record in records)
                self._passed += read.next_offset - offset
                self._bar.update(self._passed, self._written)
                offset = read.next_offset

    async def _retired_to(self, span: _Span, offset: int, error: KafkaStorageError) -> int:
        """Where the partition begins by now, if retention has passed the offset meanwhile: a
        broker is running. Raises the error if not."""
        tier = (await self._reopen()).state.partition(span.tier.topic_id, span.place.partition)
        if tier is None or tier.empty or first_offset(tier) <= offset:
            raise error
        span.tier = tier
        click.echo(
            f"{span.place}: retention has removed the offsets {offset} to "
            f"{first_offset(tier) - 1} meanwhile.",
            err=True,
        )
        return first_offset(tier)

    def _write(self, records: Iterator[ArchivedRecord]) -> None:
        lines: list[bytes] = []
        write = self._format
        output = sys.stdout.buffer
        for record in records:
            lines.append(write(record))
            self._left -= 1
            self._written += 1
            if not self._left:
                break
            if len(lines) == WRITE_RECORDS:
                output.write(b"".join(lines))
                lines.clear()
        output.write(b"".join(lines))
        output.flush()


def _format_of(options: CatOptions) -> RecordFormat:
    if options.as_json:
        return json_line
    if options.key_separator is not None:
        return raw_pair(options.key_separator)
    return raw_value
