"""Known bytes, round trips and limits of variable-length integers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierbroker.serde.errors import DecodeError
from tierbroker.serde.varint import (
    UVARINT,
    encode_uvarint,
    encode_varlong,
    read_uvarint,
    read_varlong,
)


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (0, "00"),
        (1, "01"),
        (127, "7f"),
        (128, "8001"),
        (300, "ac02"),
        (16383, "ff7f"),
        (16384, "808001"),
        (2**21 - 1, "ffff7f"),
        (2**21, "80808001"),
        (2**32 - 1, "ffffffff0f"),
    ],
)
def test_unsigned(value: int, data: str) -> None:
    assert encode_uvarint(value).hex() == data
    assert read_uvarint(b"?" + bytes.fromhex(data), 1) == (value, 1 + len(data) // 2)


@pytest.mark.parametrize(
    ("value", "data"),
    [(0, "00"), (-1, "01"), (1, "02"), (-2, "03"), (300, "d804"), (-(2**31), "ffffffff0f")],
)
def test_zigzag(value: int, data: str) -> None:
    assert encode_varlong(value).hex() == data
    assert read_varlong(bytes.fromhex(data), 0) == (value, len(data) // 2)


def test_the_table_of_small_values_is_what_the_function_gives() -> None:
    assert list(UVARINT) == [encode_uvarint(value) for value in range(len(UVARINT))]


@given(st.integers(0, 2**35 - 1))
def test_unsigned_round_trip(value: int) -> None:
    data = encode_uvarint(value)
    assert read_uvarint(data, 0) == (value, len(data))


@given(st.integers(-(2**63), 2**63 - 1))
def test_zigzag_round_trip(value: int) -> None:
    data = encode_varlong(value)
    assert read_varlong(data, 0) == (value, len(data))


def test_an_unsigned_varint_has_at_most_five_bytes() -> None:
    with pytest.raises(DecodeError, match="more than 5 bytes"):
        read_uvarint(b"\x80" * 9, 0)


def test_a_varlong_has_at_most_ten_bytes() -> None:
    with pytest.raises(DecodeError, match="more than 10 bytes"):
        read_varlong(b"\xff" * 20, 0)


@pytest.mark.parametrize("read", [read_uvarint, read_varlong])
def test_the_end_within_a_value_is_an_index_error(read: object) -> None:
    with pytest.raises(IndexError):
        read(b"\x80\x80", 0)  # type: ignore[operator]


def test_a_negative_value_has_no_unsigned_encoding() -> None:
    with pytest.raises(ValueError, match="range"):
        encode_uvarint(-1)
