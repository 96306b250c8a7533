"""CRC-32C."""

import subprocess
import sys

import crc32c as package
import pytest

from tierbroker.records.checksum import crc32c


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_known_sums(data: bytes, crc: int) -> None:
    """The vectors of RFC 3720, appendix B.4."""
    for buffer in (data, bytearray(data), memoryview(data)):
        assert crc32c(buffer) == package.crc32c(buffer) == crc


def test_a_sum_goes_on_from_another() -> None:
    assert crc32c(b"56789", crc32c(b"1234")) == 0xE3069283


@pytest.mark.parametrize("first", ["crc32c", "tierbroker.records.checksum"])
def test_either_import_may_come_first(first: str) -> None:
    program = (
        f"import sys, {first}\n"
        "from tierbroker.records.checksum import crc32c\n"
        f"assert ('crc32c' in sys.modules) == ({first!r} == 'crc32c')\n"
        "import crc32c as package\n"
        "assert crc32c(b'123456789') == package.crc32c(b'123456789') == 0xE3069283\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
