"""Fields that differ between two brokers that behave alike, and the names they get instead.

A value that a broker made up (an id, a port) is replaced by a name in order of appearance, so
that two answers still differ when one of them repeats an id and the other does not. Nothing is
ignored: a host must be the broker's own, and a success has Kafka's kind of empty text.
"""

import fnmatch
import json
import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from integration.differential.batches import describe_records
from integration.differential.messages import Id
from tierbroker.base.ids import uuid_text
from tierbroker.wire import messages
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.index import APIS

NEAR_MS = 1_800_000
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Rule(Enum):
    """What becomes of the value of a field."""

    NAME = "a name in order of appearance, per kind of field"
    TEXT = "whether there is a text"
    HOST = "whether it is the address that the script connected to"
    RECORDS = "one line a batch"
    POSITIVE = "whether it is above zero"


@dataclass(frozen=True, slots=True)
class Varying:
    """A field, as a pattern over `Api.field.field`, and how it is compared."""

    path: str
    rule: Rule
    reason: str


VARYING: tuple[Varying, ...] = (
    Varying("*_error_message", Rule.TEXT, "the words are each broker's own"),
    # The `error_message` of an error: Kafka says nothing where it has no more than the code to say.
    Varying("*.documentation", Rule.TEXT, "the words are each broker's own"),
    Varying("*.host", Rule.HOST, "each broker has its own address"),
    Varying("*.port", Rule.HOST, "each broker has its own address"),
    Varying("*.client_host", Rule.HOST, "the address of the client as the broker sees it"),
    Varying("*.cluster_id", Rule.NAME, "made when the cluster is made"),
    Varying("*.session_id", Rule.NAME, "fetch sessions are numbered at random"),
    Varying("*.producer_id", Rule.NAME, "producer ids are handed out in blocks"),
    Varying("*.finalized_features_epoch", Rule.POSITIVE, "an offset of the metadata log"),
    Varying("*.log_dir", Rule.NAME, "each broker has its own directory"),
    Varying("*.total_bytes", Rule.POSITIVE, "the disk of the machine"),
    Varying("*.usable_bytes", Rule.POSITIVE, "the disk of the machine"),
    Varying("DescribeQuorum.*high_watermark", Rule.POSITIVE, "an offset of the metadata log"),
    Varying("DescribeQuorum.*log_end_offset", Rule.POSITIVE, "an offset of the metadata log"),
    Varying("DescribeQuorum.*.leader_epoch", Rule.POSITIVE, "terms of the metadata log"),
    Varying("*.records", Rule.RECORDS, "bytes are told by their headers and checksums"),
)

# Arrays that Kafka makes from hash maps: compared without regard to order, sorted by content.
UNORDERED: tuple[str, ...] = (
    "AddPartitionsToTxn.results_by_topic_v3_and_below",
    "AddPartitionsToTxn.results_by_topic_v3_and_below.results_by_partition",
    "AddPartitionsToTxn.results_by_transaction.topic_results",
    "AddPartitionsToTxn.results_by_transaction.topic_results.results_by_partition",
    "CreateTopics.topics",
    "DeleteTopics.responses",
    "AlterReplicaLogDirs.results",
    "AlterReplicaLogDirs.results.partitions",
    "DeleteGroups.results",
    "DescribeGroups.groups",
    "DescribeGroups.groups.members",
    "JoinGroup.members",
    "ListGroups.groups",
    "DescribeLogDirs.results.topics",
    "DescribeLogDirs.results.topics.partitions",
    "ListConfigResources.config_resources",
    "Metadata.topics",
    "Metadata.topics.partitions",
    "OffsetDelete.topics",
    "OffsetFetch.groups.topics",
    "OffsetFetch.groups.topics.partitions",
    "OffsetFetch.topics",
    "OffsetFetch.topics.partitions",
    "Produce.responses",
    "Produce.responses.partition_responses",
    "WriteTxnMarkers.markers.topics",
    "WriteTxnMarkers.markers.topics.partitions",
)

# Arrays of everything that a broker has: what other runs left there is dropped.
OTHERS: dict[str, str] = {
    "DescribeLogDirs.results.topics": "name",
    "ElectLeaders.replica_election_results": "topic",
    "ListConfigResources.config_resources": "resource_name",
    "ListGroups.groups": "group_id",
}
_TOPIC_RESOURCE = 2

# Arrays of named things in no order: each is found by its name, in answers and in the list of
# known differences (`configs.retention.ms.value`).
KEYED: dict[str, str] = {
    "ApiVersions.api_keys": "api_key",
    "ApiVersions.supported_features": "name",
    "ApiVersions.finalized_features": "name",
    "CreateTopics.topics.configs": "name",
    "DescribeConfigs.results.configs": "name",
}


@dataclass
class Names:
    """The names given to the values that one broker made up, during one scenario."""

    host: str
    port: int
    token: str
    """A suffix of every topic and group of the run; it is cut off."""
    start_ms: int
    """The time that the script counts from."""
    now_ms: int
    epochs: dict[int, str] = field(default_factory=dict)
    """Leader epochs that have a name: how far they rise at a restart is each broker's own."""
    others: dict[str, str] = field(default_factory=lambda: dict(OTHERS))
    """Arrays in which only what the run made is looked at, and the field that names it."""
    _given: dict[tuple[str, Any], str] = field(default_factory=dict)
    _sent: set[tuple[str, Any]] = field(default_factory=set)
    _peeking: bool = False

    def request(self, api: str, fields: Any) -> Any:
        """The request in terms of the names. What was made up by the script keeps its value."""
        return self._value(fields, api, "request")

    def answer(self, api: str, fields: Any) -> Any:
        """The answer in terms of the names; new ids get one."""
        return self._value(fields, api, "answer")

    def _value(self, value: Any, path: str, side: str) -> Any:
        if isinstance(value, dict):
            plain = {
                name: self._field(item, f"{path}.{name}", side) for name, item in value.items()
            }
            if side == "answer" and value.get("error_code") and "error_message" in value:
                plain["error_message"] = "<any text>"
            return plain
        if isinstance(value, list):
            if side == "answer" and path in self.others:
                value = [item for item in value if self._is_own(item, self.others[path])]
            if side == "answer" and path in KEYED:
                return self._by_key(value, path)
            if side == "answer" and path in UNORDERED:
                value = sorted(value, key=lambda item: self._sort_key(item, path))
            return [self._value(item, path, side) for item in value]
        return self._scalar(value, path, side)

    def _is_own(self, item: dict[str, Any], key: str) -> bool:
        """Made by this run, or nothing that a run makes (a broker)."""
        made = item.get("resource_type", _TOPIC_RESOURCE) == _TOPIC_RESOURCE
        return self.token in item[key] or not made

    def _by_key(self, items: list[dict[str, Any]], path: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for item in sorted(items, key=lambda item: str(item[KEYED[path]])):
            key = item[KEYED[path]]
            name = api_name(key) if path == "ApiVersions.api_keys" else str(key)
            while name in found:
                name += " again"
            rest = {field: value for field, value in item.items() if field != KEYED[path]}
            found[name] = self._value(rest, path, "answer")
        return found

    def _sort_key(self, item: Any, path: str) -> str:
        before, self._peeking = self._peeking, True
        try:
            return json.dumps(self._value(item, path, "answer"), default=str)
        finally:
            self._peeking = before

    def _field(self, value: Any, path: str, side: str) -> Any:
        for varying in VARYING:
            if fnmatch.fnmatchcase(path, varying.path):
                return self._varying(value, path, side, varying.rule)
        if path.endswith("error_code") and isinstance(value, int):
            return _error_name(value)
        if path.endswith("_epoch") and isinstance(value, int) and value in self.epochs:
            return self.epochs[value]
        return self._value(value, path, side)

    def _varying(self, value: Any, path: str, side: str, rule: Rule) -> Any:
        if rule is Rule.RECORDS:
            return None if value is None else self._records(bytes(value), side)
        if side == "request" and rule is not Rule.NAME:
            return self._value(value, path, side)
        if rule is Rule.TEXT:
            return "<text>" if value else value
        if rule is Rule.HOST:
            own = {self.host: "<host>", f"/{self.host}": "</host>", self.port: "<port>"}
            return own.get(value, value)
        if rule is Rule.POSITIVE:
            return "<above zero>" if value > 0 else value
        if value in (None, -1, "") or (value == 0 and path.endswith(".session_id")):
            return value
        return self._name(path.rpartition(".")[2], value, side, value)

    def _records(self, data: bytes, side: str) -> list[str]:
        return describe_records(
            data,
            self.time,
            lambda number: self._name("producer_id", number, side, number),
            lambda epoch: self.epochs.get(epoch, epoch),
        )

    def _scalar(self, value: Any, path: str, side: str) -> Any:
        if isinstance(value, Id):
            if not any(value.raw):
                return "zero id"
            return self._name("id", value.raw, side, f"id {uuid_text(value.raw)}")
        if isinstance(value, str):
            plain = value.replace(self.token, "")
            return _UUID.sub(lambda m: self._name("uuid", m.group(), side, m.group()), plain)
        if isinstance(value, bytes):
            return _printable(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return self.time(value)
        return value

    def _name(self, kind: str, value: Any, side: str, verbatim: Any) -> Any:
        """The name of a value; one that the script made up stays `verbatim`."""
        entry = (kind, value)
        if entry in self._given:
            return self._given[entry]
        if side == "request":
            self._sent.add(entry)
        if entry in self._sent:
            return verbatim
        if self._peeking:
            return f"<{kind}>"
        number = 1 + sum(other == kind for other, _ in self._given)
        return self._given.setdefault(entry, f"<{kind} {number}>")

    def time(self, value: int) -> Any:
        """Times of the script count from its start; times of the broker's clock are `<now>`."""
        if abs(value - self.start_ms) < NEAR_MS:
            return f"t{value - self.start_ms:+d}"
        return "<now>" if abs(value - self.now_ms) < NEAR_MS else value


def api_name(key: int) -> str:
    """`Fetch` for 1; the number of an API that nobody here knows."""
    return messages.load(key).NAME if key in APIS else f"API {key}"


def _error_name(code: int) -> str | int:
    try:
        return ErrorCode(code).name
    except ValueError:
        return code


def _printable(value: bytes) -> str:
    if value.isascii() and value.decode("ascii").isprintable():
        return value.decode("ascii")
    return f"0x{value.hex()}" if len(value) <= 200 else f"{len(value)} bytes 0x{value[:50].hex()}.."
