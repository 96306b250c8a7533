"""A metadata log and two snapshots written by Apache Kafka 4.3.0, read and written again.

``metadata/cluster_metadata.log`` is the log of a fresh single node on which topics, partitions,
configs, quotas, SCRAM credentials, ACLs, producer ids and features were changed once each;
``cluster_metadata.jsonl`` is what Kafka's own dump tool says is in it. ``initial.checkpoint`` and
``bootstrap.checkpoint`` come from formatting that node.
"""

import base64
import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.message_samples import FACTS
from tierbroker.base.ids import uuid_text
from tierbroker.controller import records
from tierbroker.records.batch import walk
from tierbroker.records.control import ControlType, parse_key
from tierbroker.records.record import Record, iterate
from tools.codegen.layout import attribute, is_tagged
from tools.codegen.naming import snake_case
from tools.schema import Field, Message

FOLDER = Path(__file__).with_name("metadata")
MESSAGES = {message.name: message for message in FACTS}
CONTROL = {
    ControlType.LEADER_CHANGE: "LeaderChangeMessage",
    ControlType.SNAPSHOT_HEADER: "SnapshotHeaderRecord",
    ControlType.SNAPSHOT_FOOTER: "SnapshotFooterRecord",
    ControlType.KRAFT_VERSION: "KRaftVersionRecord",
    ControlType.KRAFT_VOTERS: "VotersRecord",
}


def log_records(name: str) -> Iterator[tuple[bool, Record]]:
    """(is a control record, record) of every record of a file."""
    data = memoryview((FOLDER / name).read_bytes())
    end = 0
    for position, header in walk(data):
        end = position + header.size_bytes
        for record in iterate(data[position:end]):
            yield header.control, record
    assert end == len(data)


def read(control: bool, record: Record) -> tuple[Message, Any, int, bytes]:
    """(facts, our record, version, the bytes that writing it again gives)."""
    assert record.value is not None
    if not control:
        ours, version = records.unframe(record.value)
        return MESSAGES[type(ours).__name__], ours, version, records.frame(ours, version)
    kind = parse_key(record.key)
    assert kind is not None
    message = MESSAGES[CONTROL[kind]]
    module = import_module(f"tierbroker.controller.records.{snake_case(message.name)}")
    ours, end = module.decode(record.value, 0, 0)
    assert end == len(record.value)
    return message, ours, 0, module.encode(ours, 0)


def as_json(message: Message, fields: tuple[Field, ...], ours: Any, version: int) -> dict[str, Any]:
    """The struct as Kafka's dump tool prints it: tagged fields only if they are set."""
    shared = {struct.name: struct.fields for struct in message.structs}

    def one(field: Field, value: Any) -> Any:
        if field.is_struct:
            return as_json(message, field.fields or shared[field.element_type], value, version)
        if field.element_type == "uuid":
            return uuid_text(value)
        if field.element_type == "bytes":
            return base64.b64encode(value).decode()
        return value

    found = {}
    for field in fields:
        value = getattr(ours, attribute(field))
        unset = value == getattr(type(ours)(), attribute(field))
        if version not in field.versions or (is_tagged(field, version) and unset):
            continue
        name = field.name[0].lower() + field.name[1:]
        if value is None:
            found[name] = None
        elif field.is_array:
            found[name] = [one(field, item) for item in value]
        else:
            found[name] = one(field, value)
    return found


def test_every_record_of_the_log_means_what_kafka_says() -> None:
    text = (FOLDER / "cluster_metadata.jsonl").read_text()
    expected = [json.loads(line) for line in text.splitlines()]
    seen = list(log_records("cluster_metadata.log"))
    assert len(seen) == len(expected)
    for (control, record), line in zip(seen, expected, strict=True):
        message, ours, version, again = read(control, record)
        assert again == record.value
        assert record.offset == line["offset"]
        assert version == line["version"]
        kind = message.name if control else snake_case(message.name).upper()
        assert kind == line["type"]
        assert as_json(message, message.fields, ours, version) == line["data"]


@pytest.mark.parametrize("name", ["initial.checkpoint", "bootstrap.checkpoint"])
def test_snapshots_are_written_again_as_they_were(name: str) -> None:
    kinds = []
    for control, record in log_records(name):
        message, _, _, again = read(control, record)
        assert again == record.value
        kinds.append(message.name)
    assert kinds[0] == "SnapshotHeaderRecord"
    assert kinds[-1] == "SnapshotFooterRecord"


def test_the_log_has_most_kinds_of_record() -> None:
    seen = log_records("cluster_metadata.log")
    kinds = {read(control, record)[0].name for control, record in seen}
    assert len(kinds) >= 20
