"""The records of the metadata log: generated codecs, and the frame around a record's value.

A value is: unsigned varint frame version 1, unsigned varint record id, unsigned varint version,
the record, nothing after it (Kafka's AbstractApiMessageSerde). Our own records travel in the
`unknown_tagged_fields` of a NoOpRecord, under tag 10000.
"""

from importlib import import_module
from types import ModuleType
from typing import Any

from tierbroker.controller.records.index import MODULES
from tierbroker.serde.errors import DecodeError
from tierbroker.serde.structs import Buffer
from tierbroker.serde.varint import encode_uvarint, read_uvarint

FRAME_VERSION = 1

_loaded: dict[int, ModuleType] = {}


def load(record_id: int) -> ModuleType:
    """The module of one metadata record; KeyError for an id that Kafka 4.3 does not have."""
    module = _loaded.get(record_id)
    if module is None:
        module = import_module(f"{__name__}.{MODULES[record_id]}")
        _loaded[record_id] = module
    return module


def frame(record: Any, version: int) -> bytes:
    """The value of a log record that holds this metadata record."""
    record_id: int = record.API_KEY
    head = encode_uvarint(FRAME_VERSION) + encode_uvarint(record_id) + encode_uvarint(version)
    body: bytes = load(record_id).encode(record, version)
    return head + body


def unframe(value: Buffer) -> tuple[Any, int]:
    """(metadata record, version) of a log record's value; DecodeError if it is anything else."""
    try:
        frame_version, pos = read_uvarint(value, 0)
        record_id, pos = read_uvarint(value, pos)
        version, pos = read_uvarint(value, pos)
    except IndexError as error:
        raise DecodeError("a metadata record ends within its frame") from error
    if frame_version != FRAME_VERSION:
        raise DecodeError(f"metadata record with frame version {frame_version}")
    if record_id not in MODULES:
        raise DecodeError(f"unknown metadata record {record_id}")
    record, end = load(record_id).decode(value, pos, version)
    if end != len(value):
        raise DecodeError(f"{len(value) - end} bytes after metadata record {record_id}")
    return record, version
