"""Known bytes of both header versions, and rubbish."""

import pytest

from tierbroker.wire.errors import DecodeError
from tierbroker.wire.header import (
    RequestHeader,
    decode_request_header,
    decode_response_header,
    encode_request_header,
    encode_response_header,
)


def test_version_1_header() -> None:
    frame = bytes.fromhex("0003 0005 00000007 0002 6162 ffff")
    assert decode_request_header(frame) == RequestHeader(3, 5, 7, "ab", 12)
    assert encode_request_header(3, 5, 7, "ab") == frame[:12]


def test_version_2_header_keeps_the_old_client_id_and_has_tags() -> None:
    frame = bytes.fromhex("0003 0009 00000007 0002 6162 00 ffff")
    assert decode_request_header(frame) == RequestHeader(3, 9, 7, "ab", 13)
    assert encode_request_header(3, 9, 7, "ab") == frame[:13]


def test_null_client_id() -> None:
    frame = bytes.fromhex("0003 0000 00000001 ffff 00000000")
    assert decode_request_header(frame) == RequestHeader(3, 0, 1, None, 10)


def test_tagged_fields_of_the_header_are_skipped() -> None:
    frame = bytes.fromhex("0012 0003 00000001 0000 01 05 02 aabb 00")
    assert decode_request_header(frame) == RequestHeader(18, 3, 1, "", 15)


@pytest.mark.parametrize("version", [5, 99, 32767])
def test_an_unknown_version_of_api_versions_has_a_readable_header(version: int) -> None:
    frame = encode_request_header(18, version, 42, "client")
    assert decode_request_header(frame).correlation_id == 42


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "0003",
        "0003 0005 00000007",
        "0003 0005 00000007 0005 6162",
        "0003 0009 00000007 0002 6162",
        "0003 0005 00000007 fffe",
        "0003 0005 00000007 0002 fffe",
        "0012 0003 00000001 0000 01 05 7f aabb",
        "7fff 0000 00000001 ffff",
        "0004 0000 00000001 ffff",
        "ffff 0000 00000001 ffff",
    ],
)
def test_rubbish_is_a_decode_error(frame: str) -> None:
    with pytest.raises(DecodeError):
        decode_request_header(bytes.fromhex(frame))


def test_response_header() -> None:
    assert encode_response_header(3, 8, 7) == bytes.fromhex("00000007")
    assert encode_response_header(3, 9, 7) == bytes.fromhex("00000007 00")
    assert decode_response_header(3, 9, bytes.fromhex("00000007 00 ff")) == (7, 5)
    assert decode_response_header(3, 8, bytes.fromhex("00000007 ff")) == (7, 4)


@pytest.mark.parametrize("version", [0, 3, 4])
def test_the_answer_to_api_versions_never_has_tags_in_its_header(version: int) -> None:
    assert encode_response_header(18, version, 1) == bytes.fromhex("00000001")


@pytest.mark.parametrize("frame", ["", "000000", "00000007", "00000007 01 00 05"])
def test_a_response_header_cut_short(frame: str) -> None:
    with pytest.raises(DecodeError):
        decode_response_header(3, 9, bytes.fromhex(frame))
