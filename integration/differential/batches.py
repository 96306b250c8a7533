"""Record batches as text, one line each: what two brokers that keep the same bytes agree on."""

from collections.abc import Callable
from typing import Any

from tierbroker.base.errors import CorruptMessageError
from tierbroker.records.batch import HEADER_BYTES, BatchHeader, crc_valid, walk
from tierbroker.records.checksum import crc32c
from tierbroker.records.compression import Codec

Describe = Callable[[int], Any]


def describe_records(
    data: bytes, time_text: Describe, producer_text: Describe, epoch_text: Describe
) -> list[str]:
    """One line for each whole batch, and one for the bytes that are left over.

    The header's fields are spelled out; a checksum of what follows it stands for the records.
    """
    lines: list[str] = []
    end = 0
    try:
        for position, header in walk(data):
            end = position + header.size_bytes
            lines.append(_line(data, position, header, (time_text, producer_text, epoch_text)))
    except CorruptMessageError:
        lines.append("no batch")
    if end < len(data):
        lines.append(f"{len(data) - end} bytes of a batch that is cut short")
    return lines


def _line(
    data: bytes, position: int, header: BatchHeader, texts: tuple[Describe, Describe, Describe]
) -> str:
    time_text, producer_text, epoch_text = texts
    words = [*_header(header, time_text, epoch_text), *_producer(header, producer_text)]
    end = position + header.size_bytes
    content = crc32c(memoryview(data)[position + HEADER_BYTES : end])
    words.append(f"content {content:08x}")
    if not crc_valid(data, position, header):
        words.append("WRONG CRC")
    return ", ".join(words)


def _header(header: BatchHeader, time_text: Describe, epoch_text: Describe) -> list[str]:
    codec = header.attributes & 7
    kind = ["log append time"] * header.log_append_time + ["control"] * header.control
    return [
        f"offsets {header.base_offset}-{header.last_offset}",
        f"epoch {epoch_text(header.partition_leader_epoch)}",
        f"{header.record_count} records",
        f"{header.size_bytes} bytes",
        Codec(codec).name.lower() if codec in list(Codec) else f"codec {codec}",
        f"times {time_text(header.base_timestamp)} {time_text(header.max_timestamp)}",
        *kind,
    ]


def _producer(header: BatchHeader, producer_text: Describe) -> list[str]:
    if header.producer_id < 0:
        return []
    words = [f"producer {producer_text(header.producer_id)} epoch {header.producer_epoch}"]
    words += [f"sequence {header.base_sequence}"] * (header.base_sequence >= 0)
    return [*words, *["transactional"] * header.transactional]
