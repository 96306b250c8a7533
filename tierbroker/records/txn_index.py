"""`.txnindex`: the aborted transactions that ended in a segment.

Entries of 34 bytes in the order of their last offsets: int16 version 0, int64 producer id, first
offset, last offset (the marker's), last stable offset (Kafka: AbortedTxn, TransactionIndex).
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from tierbroker.records.batch import Buffer
from tierbroker.records.errors import CorruptIndexError

ENTRY_BYTES = 34
CURRENT_VERSION = 0

_ENTRY = struct.Struct(">hqqqq")


class AbortedTxn(NamedTuple):
    """One aborted transaction: `last_offset` is its marker's offset."""

    producer_id: int
    first_offset: int
    last_offset: int
    last_stable_offset: int


def pack_entry(txn: AbortedTxn) -> bytes:
    """One entry."""
    return _ENTRY.pack(CURRENT_VERSION, *txn)


def entries(data: Buffer) -> Iterator[AbortedTxn]:
    """Each transaction in turn; CorruptIndexError at a version above 0 or a cut entry."""
    if len(data) % ENTRY_BYTES:
        raise CorruptIndexError(f"a transaction index of {len(data)} bytes is cut within an entry")
    for version, *fields in _ENTRY.iter_unpack(data):
        if version > CURRENT_VERSION:
            raise CorruptIndexError(f"unknown version {version} of an aborted transaction")
        yield AbortedTxn(*fields)


def overlapping(
    data: Buffer, fetch_offset: int, upper_bound_offset: int
) -> tuple[list[AbortedTxn], bool]:
    """The transactions that touch [fetch_offset, upper_bound_offset), and whether that is all.

    False means that a later segment may hold the marker of one more. Order is that of the file;
    a fetch answer needs them sorted by first offset over all segments.
    """
    found: list[AbortedTxn] = []
    for txn in entries(data):
        if txn.last_offset >= fetch_offset and txn.first_offset < upper_bound_offset:
            found.append(txn)
        if txn.last_stable_offset >= upper_bound_offset:
            return found, True
    return found, False


def truncated(data: Buffer, offset: int) -> bytes:
    """The entries whose markers lie below `offset`: what stays when the log is cut there."""
    size = 0
    for txn in entries(data):
        if txn.last_offset >= offset:
            break
        size += ENTRY_BYTES
    return bytes(memoryview(data)[:size])


def check(data: Buffer, base_offset: int) -> None:
    """Raise CorruptIndexError unless every entry can be read and ends in the segment."""
    for slot, txn in enumerate(entries(data)):
        if txn.last_offset < base_offset or txn.first_offset > txn.last_offset:
            raise CorruptIndexError(f"entry {slot} {txn} does not fit a segment at {base_offset}")
