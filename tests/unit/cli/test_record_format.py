"""Raw bytes and JSON lines."""

import base64
import json
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from tierbroker.cli.record_format import json_line, raw_pair, raw_value


@dataclass
class FakeRecord:
    """A record with the accessors of confluent_kafka.Message."""

    raw_value: bytes | None = b"v"
    raw_key: bytes | None = None
    raw_headers: list[tuple[str, str | bytes | None]] | None = None
    stamp: tuple[int, int] = field(default=(1, 1_700_000_000_000))

    def topic(self) -> str:
        return "t"

    def partition(self) -> int:
        return 2

    def offset(self) -> int:
        return 7

    def timestamp(self) -> tuple[int, int]:
        return self.stamp

    def key(self) -> bytes | None:
        return self.raw_key

    def value(self) -> bytes | None:
        return self.raw_value

    def headers(self) -> list[tuple[str, str | bytes | None]] | None:
        return self.raw_headers


def test_raw_value_is_the_bytes_and_a_newline() -> None:
    assert raw_value(FakeRecord(b"\xff\x00")) == b"\xff\x00\n"
    assert raw_value(FakeRecord(None)) == b"\n"


def test_raw_pair_writes_what_produce_reads() -> None:
    write = raw_pair(b"\t")
    assert write(FakeRecord(b"v", b"k")) == b"k\tv\n"
    assert write(FakeRecord(b"v", None)) == b"v\n"
    assert write(FakeRecord(b"v", b"")) == b"\tv\n"
    assert write(FakeRecord(None, b"k")) == b"k\t\n"


def test_json_of_text() -> None:
    line = json_line(FakeRecord("grüße\n".encode(), b"k"))
    assert (
        line
        == (
            '{"topic":"t","partition":2,"offset":7,"timestamp":1700000000000,'
            '"key":"k","value":"grüße\\n"}\n'
        ).encode()
    )


def test_json_of_bytes_that_are_no_text() -> None:
    fields = json.loads(json_line(FakeRecord(b"\xff", b"\xfe")))
    assert "value" not in fields
    assert "key" not in fields
    assert base64.b64decode(fields["value_base64"]) == b"\xff"
    assert base64.b64decode(fields["key_base64"]) == b"\xfe"


def test_json_of_nothing() -> None:
    fields = json.loads(json_line(FakeRecord(None, None, stamp=(0, -1))))
    assert fields["key"] is None
    assert fields["value"] is None
    assert fields["timestamp"] is None
    assert "headers" not in fields


def test_json_keeps_order_and_repetition_of_headers() -> None:
    headers: list[tuple[str, str | bytes | None]] = [("a", b"1"), ("a", None), ("b", b"\xff")]
    fields = json.loads(json_line(FakeRecord(raw_headers=headers)))
    assert fields["headers"] == [
        {"key": "a", "value": "1"},
        {"key": "a", "value": None},
        {"key": "b", "value_base64": "/w=="},
    ]


@given(st.none() | st.binary())
def test_json_keeps_every_byte(value: bytes | None) -> None:
    line = json_line(FakeRecord(value))
    assert line.count(b"\n") == 1
    fields = json.loads(line)
    if "value_base64" in fields:
        assert base64.b64decode(fields["value_base64"]) == value
    else:
        assert fields["value"] == (None if value is None else value.decode())
