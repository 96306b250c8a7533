"""Entries as v2 batches and back: how the metadata log lies on disk and travels in fetches."""

from collections.abc import Iterator
from typing import NamedTuple

from tierbroker.base.errors import CorruptMessageError
from tierbroker.controller.errors import MetadataCorruptError
from tierbroker.controller.raft.types import Entry
from tierbroker.records.batch import BatchHeader, crc_valid, walk
from tierbroker.records.builder import build_batch
from tierbroker.records.control import ControlType, build_control_batch, read_controls
from tierbroker.records.record import Record, iterate


class MetadataBatch(NamedTuple):
    """One batch, opened: metadata record values, or control records."""

    header: BatchHeader
    values: list[bytes]
    control: list[tuple[ControlType, bytes]]


def encode_entry(entry: Entry, timestamp_ms: int) -> bytes:
    """The batch of an entry; what was fetched is written as it came."""
    if entry.data:
        return entry.data
    if entry.control:
        return build_control_batch(
            entry.control,
            timestamp_ms=timestamp_ms,
            base_offset=entry.base_offset,
            leader_epoch=entry.epoch,
        )
    return build_batch(
        [Record(0, timestamp_ms, None, value) for value in entry.records],
        base_offset=entry.base_offset,
        leader_epoch=entry.epoch,
    )


def open_batches(data: bytes, source: str) -> Iterator[MetadataBatch]:
    """The batches of a log or snapshot read; raises MetadataCorruptError naming the source."""
    try:
        for position, header in walk(data):
            if not crc_valid(data, position, header):
                raise MetadataCorruptError(
                    f"{source}: the batch at offset {header.base_offset} fails its CRC"
                )
            batch = memoryview(data)[position : position + header.size_bytes]
            if header.control:
                control = [(kind, record.value or b"") for kind, record in read_controls(batch)]
                yield MetadataBatch(header, [], control)
            else:
                yield MetadataBatch(header, [_value(record) for record in iterate(batch)], [])
    except CorruptMessageError as error:
        raise MetadataCorruptError(f"{source}: {error.message}") from error


def _value(record: Record) -> bytes:
    if record.value is None:
        raise MetadataCorruptError(f"the metadata record at offset {record.offset} has no value")
    return record.value
