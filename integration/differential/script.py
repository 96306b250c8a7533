"""The language of the scenarios: connections that call, send and wait, and topics of one's own.

A scenario is a Python function over a `Run`; it is carried out once against each broker, and all
that it sees of one run goes into a transcript. It must not look at which broker it talks to.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from integration.differential.messages import Id, as_plain, build_request, module_of
from integration.differential.transcript import Step, Transcript
from integration.differential.varying import Names
from tests.broker.wire_client import ConnectionClosedError, WireClient
from tierbroker.wire.api_keys import ApiKey
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.errors import DecodeError

ALL = range(1000)
CLOSED = "closes the connection"
SILENCE = "does not answer"
ANSWER_TIMEOUT_S = 30.0
SETTLE_TIMEOUT_S = 60.0
SILENT_S, SILENT_TURNS = 0.15, 6
"""In turns: a machine that stands still for a while takes no more than one of them."""

# A topic that was just made, a coordinator that was just asked for: later it is another answer.
UNSETTLED = frozenset(
    {
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.LEADER_NOT_AVAILABLE,
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.UNKNOWN_TOPIC_ID,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.NOT_COORDINATOR,
    }
)

Versions = int | range | Iterable[int]
VersionTable = Mapping[ApiKey, range]


def since(version: int) -> range:
    """This version and all later ones."""
    return range(version, 1000)


def until(version: int) -> range:
    """All versions up to and with this one."""
    return range(version + 1)


def between(first: int, last: int) -> range:
    """From `first` to `last`, both included."""
    return range(first, last + 1)


class NotAdvertisedError(Exception):
    """None of the versions that a step asks for is advertised by both brokers."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What both runs of one scenario share."""

    token: str
    """Ends the names of all topics and groups, so that a broker can be used again."""
    start_ms: int
    """Timestamps of records count from here: about the time of the run."""
    versions: VersionTable
    """What both brokers advertise."""


@dataclass
class Run:
    """One scenario at one broker."""

    bootstrap: str
    setting: Setting
    transcript: Transcript
    names: Names = field(init=False)
    _connections: list["Connection"] = field(default_factory=list)
    _note: str = ""
    _markers: int = 0

    def __post_init__(self) -> None:
        host, _, port = self.bootstrap.rpartition(":")
        self.names = Names(
            host, int(port), self.setting.token, self.setting.start_ms, time.time_ns() // 1_000_000
        )

    @property
    def start_ms(self) -> int:
        """An hour ago, the same at both brokers: what the records' timestamps count from."""
        return self.setting.start_ms

    def note(self, text: str) -> None:
        """Say what the next step shows: it stands above it in the transcript."""
        self._note = text

    def look_only_at_own(self, path: str, key: str) -> None:
        """Drop what other runs left from an array of answers: `("Metadata.topics", "name")`."""
        self.names.others[path] = key

    def pause(self, seconds: float) -> None:
        """Let time pass, for what a broker does on its own and nobody can see."""
        time.sleep(seconds)

    def wait_until(self, what: str, condition: Callable[[], bool]) -> None:
        """For what a broker does on its own, and may be asked for. AssertionError if it does not.

        `condition` must put nothing into the transcript.
        """
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        while not condition():
            assert time.monotonic() < deadline, f"no {what} within {SETTLE_TIMEOUT_S} s"
            time.sleep(0.05)

    def take_note(self) -> str:
        """What was noted for the next step."""
        note, self._note = self._note, ""
        return note

    def name(self, text: str) -> str:
        """The name of a topic, group or transactional id that no other run uses."""
        return text + self.setting.token

    def connect(self, name: str = "client") -> "Connection":
        """A connection; its name stands in the transcript."""
        connection = Connection(self, name)
        self._connections.append(connection)
        return connection

    def setup_connection(self) -> "Connection":
        """A connection that leaves no steps behind."""
        connection = Connection(self, "setup", recorded=False)
        self._connections.append(connection)
        return connection

    def topic(self, name: str, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        """Make a topic and wait until each partition can be used. Leaves no step behind."""
        full_name = self.name(name)
        own = self.setup_connection()
        settings = [{"name": key, "value": value} for key, value in (config or {}).items()]
        asked = {
            "name": full_name,
            "num_partitions": partitions,
            "replication_factor": 1,
            "configs": settings,
        }
        made = own.call(ApiKey.CREATE_TOPICS, 7, topics=[asked], timeout_ms=10_000)
        assert made.topics[0].error_code == 0, made
        own.settled(
            ApiKey.LIST_OFFSETS,
            4,
            topics=[
                {
                    "name": full_name,
                    "partitions": [
                        {"partition_index": number, "timestamp": -1} for number in range(partitions)
                    ],
                }
            ],
            replica_id=-1,
        )
        return full_name

    def catch_up(self) -> None:
        """Wait until the broker has applied all changes of metadata that were answered so far.

        They are applied in their order, so that a topic made last is seen last.
        """
        self._markers += 1
        self.topic(f"marker-{self._markers}")

    def new_epoch(self, topic: str) -> int:
        """The present leader epoch of partition 0: `<new epoch>` from here on."""
        answer = self.setup_connection().settled(
            ApiKey.METADATA, 12, topics=[{"name": topic}], allow_auto_topic_creation=False
        )
        epoch = int(answer.topics[0].partitions[0].leader_epoch)
        self.names.epochs |= {epoch: "<new epoch>", epoch + 1: "<later epoch>"}
        return epoch

    def topic_id(self, name: str) -> Id:
        """The id of a topic. Leaves no step behind."""
        own = self.setup_connection()
        answer = own.settled(
            ApiKey.METADATA, 12, topics=[{"name": name}], allow_auto_topic_creation=False
        )
        return Id(bytes(answer.topics[0].topic_id))

    def versions(self, key: ApiKey, versions: Versions = ALL) -> list[int]:
        """Those of the versions that both brokers advertise; NotAdvertisedError when none is."""
        wanted = [versions] if isinstance(versions, int) else versions
        both = self.setting.versions.get(key, range(0))
        chosen = [version for version in both if version in wanted]
        if not chosen:
            raise NotAdvertisedError(f"{module_of(key).NAME} {wanted}: both advertise {both}")
        return chosen

    def record(self, heading: str, api: str, request: Any, answer: Any, version: int = -1) -> None:
        """Add a step to the transcript."""
        step = Step(heading, api, request, answer, version, self.take_note())
        self.transcript.steps.append(step)

    def close(self) -> None:
        """Close every connection of the run."""
        for connection in self._connections:
            connection.close()


class Connection:
    """A connection with a name. It connects when it is used, and anew when it was closed."""

    def __init__(self, run: Run, name: str, recorded: bool = True) -> None:
        self.name = name
        self._run = run
        self._recorded = recorded
        self._wire: WireClient | None = None

    def call(self, key: ApiKey, versions: Versions = ALL, /, **fields: Any) -> Any:
        """Send at each of the versions in turn; the decoded answer to the last.

        None when there was no answer.
        """
        answer, note = None, self._run.take_note()
        for version in self._run.versions(key, versions):
            self._run.note(note)
            answer = self.send(key, version, **fields).answer()
        return answer

    def settled(self, key: ApiKey, versions: Versions, /, **fields: Any) -> Any:
        """`call`, repeated while the answer says that something is still on its way."""
        answer, note = None, self._run.take_note()
        for version in self._run.versions(key, versions):
            self._run.note(note)
            deadline = time.monotonic() + SETTLE_TIMEOUT_S
            while True:
                sent = self.send(key, version, **fields)
                answer, plain = sent.receive()
                if not UNSETTLED & _errors_in(plain) or time.monotonic() > deadline:
                    break
                time.sleep(0.02)
            sent.record(plain)
        return answer

    def timed(self, limits_ms: tuple[int, int], key: ApiKey, version: int, /, **fields: Any) -> Any:
        """`call`; the transcript also says whether the answer took as long as it may."""
        (version,) = self._run.versions(key, version)
        began = time.monotonic()
        sent = self.send(key, version, **fields)
        answer, plain = sent.receive()
        took_ms = (time.monotonic() - began) * 1000
        first, last = limits_ms
        if isinstance(plain, dict):
            words = f"{first} to {last} ms"
            plain["took"] = words if first <= took_ms <= last else f"{took_ms:.0f} ms, not {words}"
        sent.record(plain)
        return answer

    def send(self, key: ApiKey, version: int, /, **fields: Any) -> "Sent":
        """Send, and take the answer later with `.answer()`; answers come in order."""
        request = build_request(key, fields)
        wire = self._connected()
        return Sent(self._run, self, key, version, request, fields, wire.send(request, version))

    def send_bytes(self, what: str, data: bytes, wait: Callable[[WireClient], Any]) -> Any:
        """Send bytes as they are; `wait` takes what comes back, as plain values."""
        wire = self._connected()
        wire.send_bytes(data)
        try:
            answer = wait(wire)
        except ConnectionClosedError:
            answer = CLOSED
            self.close()
        self._run.record(f"{self.name}: {what}", "bytes", {}, answer)
        return answer

    def silent(self) -> None:
        """Note whether the broker keeps silent for a moment: long enough to see the request."""
        wire = self._connected()
        silent = all(wire.is_silent(SILENT_S) for _ in range(SILENT_TURNS))
        self._run.record(f"{self.name}: waits", "wait", {}, {"silent": silent})

    def ends(self) -> None:
        """Note whether the broker closes the connection."""
        try:
            self._connected().wait_closed()
            answer = CLOSED
        except AssertionError as error:
            answer = str(error)
        self.close()
        self._run.record(f"{self.name}: waits", "wait", {}, answer)

    def close(self) -> None:
        """Close it; the next call connects anew."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    @property
    def wire(self) -> WireClient:
        """The connection below."""
        return self._connected()

    @property
    def recorded(self) -> bool:
        return self._recorded

    def _connected(self) -> WireClient:
        if self._wire is None:
            self._wire = WireClient(self._run.bootstrap, ANSWER_TIMEOUT_S)
        return self._wire


@dataclass
class Sent:
    """A request on its way."""

    run: Run
    connection: Connection
    key: ApiKey
    version: int
    request: Any
    fields: Mapping[str, Any]
    number: int

    def answer(self) -> Any:
        """Wait for the answer and put it into the transcript; None when there is none."""
        answer, plain = self.receive()
        self.record(plain)
        return answer

    def receive(self) -> tuple[Any, Any]:
        """The answer, and the same as plain values; not put into the transcript."""
        try:
            answer = self.connection.wire.answer(self.request, self.version, self.number)
        except ConnectionClosedError:
            self.connection.close()
            return None, CLOSED
        except DecodeError as error:
            self.connection.close()
            return None, f"answers what is no answer: {error}"
        except AssertionError as error:
            self.connection.close()
            return None, f"{SILENCE}: {error}"
        return answer, as_plain(answer)

    def record(self, plain: Any) -> None:
        """Put it into the transcript. Ids get their names also where nothing is recorded."""
        api = module_of(self.key).NAME
        names = self.run.names
        request = names.request(api, as_plain(self.fields))
        answer = names.answer(api, plain) if isinstance(plain, dict) else plain
        if self.connection.recorded:
            heading = f"{self.connection.name}: {api} v{self.version}"
            self.run.record(heading, api, request, answer, self.version)


def _errors_in(plain: Any) -> set[int]:
    if isinstance(plain, dict):
        found = {plain["error_code"]} if isinstance(plain.get("error_code"), int) else set()
        return found.union(*map(_errors_in, plain.values())) if plain else found
    if isinstance(plain, list):
        return set().union(*map(_errors_in, plain))
    return set()
