"""How a record that was read is written: as its raw bytes, or as one JSON object.

JSON has no bytes. Text that is valid UTF-8 is written as such; what is not goes, in base64, into
a field whose name ends in `_base64`. Both forms keep every byte.
"""

import base64
import json
from collections.abc import Callable
from typing import Protocol

Headers = list[tuple[str, str | bytes | None]] | dict[str, str | bytes | None]


class ReadRecord(Protocol):
    """What the client library hands out (confluent_kafka.Message)."""

    def topic(self) -> str | None: ...
    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...
    def timestamp(self) -> tuple[int, int]: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def headers(self) -> Headers | None: ...


RecordFormat = Callable[[ReadRecord], bytes]

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def raw_value(record: ReadRecord) -> bytes:
    """The value and a newline; a null value is an empty line."""
    value = record.value()
    return b"\n" if value is None else value + b"\n"


def raw_pair(separator: bytes) -> RecordFormat:
    """Key, separator, value, newline; only the value where there is no key (as produce reads)."""

    def write(record: ReadRecord) -> bytes:
        key = record.key()
        return raw_value(record) if key is None else key + separator + raw_value(record)

    return write


def json_line(record: ReadRecord) -> bytes:
    """One JSON object and a newline."""
    kind, timestamp_ms = record.timestamp()
    fields: dict[str, object] = {
        "topic": record.topic(),
        "partition": record.partition(),
        "offset": record.offset(),
        "timestamp": timestamp_ms if kind else None,
    }
    _add(fields, "key", record.key())
    _add(fields, "value", record.value())
    headers = record.headers()
    if headers:
        pairs = headers.items() if isinstance(headers, dict) else headers
        fields["headers"] = [_header(name, value) for name, value in pairs]
    return _encode(fields).encode() + b"\n"


def _header(name: str, value: str | bytes | None) -> dict[str, object]:
    fields: dict[str, object] = {"key": name}
    _add(fields, "value", value)
    return fields


def _add(fields: dict[str, object], name: str, value: str | bytes | None) -> None:
    if value is None or isinstance(value, str):
        fields[name] = value
        return
    try:
        fields[name] = value.decode()
    except UnicodeDecodeError:
        fields[f"{name}_base64"] = base64.b64encode(value).decode("ascii")
