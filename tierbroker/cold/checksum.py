"""CRC-64/NVME, the checksum that object stores keep of whole objects.

S3 calls it CRC64NVME and combines it over the parts of a multipart upload; so can we. It comes
from AWS's own runtime library, which computes about 10 GB/s on one core and lets other threads
run meanwhile. The library is loaded with the first checksum: only a cold tier needs it.
"""

import base64
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tierbroker.base.fs import Buffer


def crc64nvme(data: "Buffer", previous: int = 0) -> int:
    """The checksum of `data`; of all bytes so far when `previous` is theirs without `data`."""
    from awscrt import checksums

    # Typed for bytes alone; takes every flat buffer.
    return int(checksums.crc64nvme(data, previous))


def combine_crc64nvme(first: int, second: int, second_bytes: int) -> int:
    """The checksum of two pieces one after the other, from theirs and the length of the second."""
    from awscrt import checksums

    return int(checksums.combine_crc64nvme(first, second, second_bytes))


def checksum_text(checksum: int) -> str:
    """As S3's headers write it: eight bytes, big end first, in base64."""
    return base64.b64encode(checksum.to_bytes(8)).decode()


def parse_checksum(text: str) -> int:
    """The number in a header of S3; raises ValueError for anything but eight bytes in base64."""
    raw = base64.b64decode(text, validate=True)
    if len(raw) != 8:
        raise ValueError(f"a CRC-64 has 8 bytes, this one has {len(raw)}")
    return int.from_bytes(raw)
