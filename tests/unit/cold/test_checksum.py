import os
import sys

import pytest

from tierbroker.cold.checksum import (
    checksum_text,
    combine_crc64nvme,
    crc64nvme,
    parse_checksum,
)


def test_the_check_value_of_the_catalogue() -> None:
    assert crc64nvme(b"123456789") == 0xAE8B14860A799888
    assert crc64nvme(b"") == 0


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_checksum_goes_on_where_it_stopped(kind: type) -> None:
    assert crc64nvme(kind(b"6789"), crc64nvme(kind(b"12345"))) == 0xAE8B14860A799888


def test_small_pieces_need_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    data = os.urandom(4096)
    with_library = crc64nvme(data + b"-"), crc64nvme(data[:100]), crc64nvme(data, 12345)
    monkeypatch.delitem(sys.modules, "awscrt.checksums")
    without = crc64nvme(b"-", crc64nvme(data)), crc64nvme(data[:100]), crc64nvme(data, 12345)
    assert without == with_library
    assert "awscrt.checksums" not in sys.modules


def test_checksums_of_pieces_are_combined() -> None:
    first, second = os.urandom(10_000), os.urandom(777)
    combined = combine_crc64nvme(crc64nvme(first), crc64nvme(second), len(second))
    assert combined == crc64nvme(first + second)
    assert combine_crc64nvme(crc64nvme(first), 0, 0) == crc64nvme(first)


def test_the_text_is_that_of_a_header() -> None:
    assert checksum_text(0xAE8B14860A799888) == "rosUhgp5mIg="
    assert parse_checksum("rosUhgp5mIg=") == 0xAE8B14860A799888


@pytest.mark.parametrize("text", ["", "rosUhgp5mA==", "!", "rosUhgp5mIg"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_checksum(text)
