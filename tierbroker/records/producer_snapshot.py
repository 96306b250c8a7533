"""`.snapshot`: what is known of each producer below an offset.

int16 version 1, uint32 CRC-32C of everything after it, int32 count, then entries of 46 bytes
(Kafka: ProducerSnapshot.json, ProducerStateManager). Of the batches remembered for duplicate
detection only the last one is kept.
"""

import struct
from collections.abc import Iterable
from typing import NamedTuple

from tierbroker.records.batch import Buffer
from tierbroker.records.checksum import crc32c
from tierbroker.records.errors import CorruptSnapshotError

CURRENT_VERSION = 1
ENTRY_BYTES = 46

_PREFIX = struct.Struct(">hI")
_COUNT = struct.Struct(">i")
_ENTRY = struct.Struct(">qhiqiqiq")
_CRC_START = 6
_ENTRIES_START = 10


class ProducerEntry(NamedTuple):
    """The state of one producer; -1 where there is none, timestamps in milliseconds."""

    producer_id: int
    producer_epoch: int
    last_sequence: int
    last_offset: int
    offset_delta: int
    timestamp_ms: int
    coordinator_epoch: int
    current_txn_first_offset: int

    @property
    def first_offset(self) -> int:
        """Offset of the first record of the producer's last batch."""
        return self.last_offset - self.offset_delta


def encode(producers: Iterable[ProducerEntry]) -> bytes:
    """The bytes of a snapshot file."""
    packed = [_ENTRY.pack(*producer) for producer in producers]
    body = _COUNT.pack(len(packed)) + b"".join(packed)
    return _PREFIX.pack(CURRENT_VERSION, crc32c(body)) + body


def decode(data: Buffer) -> list[ProducerEntry]:
    """Read a snapshot file; CorruptSnapshotError when version, checksum or size is wrong."""
    if len(data) < _ENTRIES_START:
        raise CorruptSnapshotError(f"a producer snapshot of {len(data)} bytes is too short")
    version, crc = _PREFIX.unpack_from(data)
    if version != CURRENT_VERSION:
        raise CorruptSnapshotError(f"unknown version {version} of a producer snapshot")
    if crc32c(memoryview(data)[_CRC_START:]) != crc:
        raise CorruptSnapshotError("the CRC of the producer snapshot does not match its bytes")
    (count,) = _COUNT.unpack_from(data, _CRC_START)
    if count < 0 or _ENTRIES_START + count * ENTRY_BYTES != len(data):
        raise CorruptSnapshotError(
            f"a producer snapshot of {len(data)} bytes cannot hold {count} producers"
        )
    return [
        ProducerEntry(*fields) for fields in _ENTRY.iter_unpack(memoryview(data)[_ENTRIES_START:])
    ]
