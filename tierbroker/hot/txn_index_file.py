"""The `.txnindex` file of a segment, which exists only where a transaction was aborted."""

import os
from collections.abc import Sequence

from tierbroker.base.fs import FileSystem, write_fully
from tierbroker.hot.file_names import TXN_INDEX_SUFFIX
from tierbroker.hot.segment import ReadableSegment
from tierbroker.records import txn_index
from tierbroker.records.txn_index import AbortedTxn


def append_aborted(fs: FileSystem, segment: ReadableSegment, txns: Sequence[AbortedTxn]) -> None:
    """Note aborted transactions whose markers are in the segment; raises OSError."""
    path = segment.path(TXN_INDEX_SUFFIX)
    fd = fs.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        whole_entries = fs.file_size(fd) // txn_index.ENTRY_BYTES
        data = b"".join(map(txn_index.pack_entry, txns))
        write_fully(fs, fd, data, whole_entries * txn_index.ENTRY_BYTES)
    finally:
        fs.close(fd)


def cut_aborted(fs: FileSystem, segment: ReadableSegment, offset: int) -> None:
    """Forget the transactions whose markers are at `offset` or above; raises OSError."""
    path = segment.path(TXN_INDEX_SUFFIX)
    if not fs.exists(path):
        return
    kept = txn_index.truncated(fs.read_file(path), offset)
    if not kept:
        fs.unlink(path)
        return
    fd = fs.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fs.ftruncate(fd, len(kept))
    finally:
        fs.close(fd)
