"""CRC-64/NVME, the checksum that object stores keep of whole objects.

S3 calls it CRC64NVME and combines it over the parts of a multipart upload; so can we. It comes
from AWS's own runtime library, which computes about 10 GB/s on one core and lets other threads
run meanwhile. The library is loaded with the first large piece: that takes 40 ms, and a broker
that starts checks no more than the few hundred bytes of the object that tells whose the store is.
"""

import base64
import sys
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tierbroker.base.fs import Buffer


_POLYNOMIAL = 0x9A6C9329AC4BC9B5
"""Of CRC-64/NVME, lowest bit first."""
_ALL_ONES = (1 << 64) - 1
_SMALL_BYTES = 4096
"""Up to here it is done here, in at most a millisecond, unless the library is loaded anyway."""


def crc64nvme(data: "Buffer", previous: int = 0) -> int:
    """The checksum of `data`; of all bytes so far when `previous` is theirs without `data`."""
    if "awscrt.checksums" not in sys.modules and memoryview(data).nbytes <= _SMALL_BYTES:
        return _crc64nvme_by_table(data, previous)
    from awscrt import checksums

    # Typed for bytes alone; takes every flat buffer.
    return int(checksums.crc64nvme(data, previous))


def combine_crc64nvme(first: int, second: int, second_bytes: int) -> int:
    """The checksum of two pieces one after the other, from theirs and the length of the second."""
    from awscrt import checksums

    return int(checksums.combine_crc64nvme(first, second, second_bytes))


def _crc64nvme_by_table(data: "Buffer", previous: int) -> int:
    table = _table()
    state = previous ^ _ALL_ONES
    for byte in memoryview(data).cast("B"):
        state = table[(state ^ byte) & 0xFF] ^ state >> 8
    return state ^ _ALL_ONES


@cache
def _table() -> list[int]:
    """What each low byte of the state turns into, eight steps of the division at once."""
    table = []
    for byte in range(256):
        state = byte
        for _ in range(8):
            state = state >> 1 ^ (_POLYNOMIAL if state & 1 else 0)
        table.append(state)
    return table


def checksum_text(checksum: int) -> str:
    """As S3's headers write it: eight bytes, big end first, in base64."""
    return base64.b64encode(checksum.to_bytes(8)).decode()


def parse_checksum(text: str) -> int:
    """The number in a header of S3; raises ValueError for anything but eight bytes in base64."""
    raw = base64.b64decode(text, validate=True)
    if len(raw) != 8:
        raise ValueError(f"a CRC-64 has 8 bytes, this one has {len(raw)}")
    return int.from_bytes(raw)
