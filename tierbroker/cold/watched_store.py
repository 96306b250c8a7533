"""A store that is watched: what is asked of it, what it answers, and since when it does not.

For metrics and for people. Passes everything on as it is; must never change an answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from tierbroker.base.clock import Clock
from tierbroker.base.parts import Part, parts_length
from tierbroker.base.pending import Pending
from tierbroker.cold.errors import (
    BodyUnreadableError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreUnavailableError,
)
from tierbroker.cold.keys import topic_of_key
from tierbroker.cold.ports import ObjectFacts, ObjectPage, ObjectStore
from tierbroker.cold.stores.request_counts import RequestCounts

T = TypeVar("T")


class Operation(StrEnum):
    """What may be asked of a store."""

    PUT = "put"
    GET = "get"
    HEAD = "head"
    DELETE = "delete"
    LIST = "list"


class Outcome(StrEnum):
    """How a store answers."""

    OK = "ok"
    NOT_FOUND = "not_found"
    PRECONDITION_FAILED = "precondition_failed"
    UNAVAILABLE = "unavailable"
    ERROR = "error"


@dataclass(slots=True)
class TopicTraffic:
    """What was asked of the store for one topic."""

    requests: dict[Operation, int] = field(default_factory=dict)
    bytes_uploaded: int = 0
    bytes_downloaded: int = 0


@dataclass(slots=True)
class StoreWatch:
    """What was seen of a store since the start."""

    counts: dict[tuple[Operation, Outcome], int] = field(default_factory=dict)
    topics: dict[str, TopicTraffic] = field(default_factory=dict)
    """By topic id as text; whoever reads it drops what is not wanted any more."""
    bytes_uploaded: int = 0
    """Of objects that the store has whole, repeated parts not counted."""
    bytes_downloaded: int = 0
    answered: bool = False
    """Whether there was an answer at all, be it an error of the request's own."""
    down_since_ms: int | None = None
    """Since when every operation has failed; None while the store answers."""
    error: str | None = None
    """The latest failure."""
    error_ms: int = -1

    @property
    def state(self) -> str:
        """ "up", "down", or "unknown" before the first answer."""
        if self.down_since_ms is not None:
            return "down"
        return "up" if self.answered else "unknown"

    def note(self, operation: Operation, outcome: Outcome, key: str, up: int, down: int) -> None:
        """Count an answer, and what it carried."""
        self.counts[operation, outcome] = self.counts.get((operation, outcome), 0) + 1
        if outcome is not Outcome.OK:
            up = down = 0
        self.bytes_uploaded += up
        self.bytes_downloaded += down
        topic_id = topic_of_key(key)
        if topic_id is not None:
            traffic = self.topics.setdefault(topic_id, TopicTraffic())
            traffic.requests[operation] = traffic.requests.get(operation, 0) + 1
            traffic.bytes_uploaded += up
            traffic.bytes_downloaded += down

    def count(self, operation: Operation) -> int:
        """How often that was asked, whatever came of it."""
        return sum(count for (each, _), count in self.counts.items() if each is operation)


class WatchedStore:
    """`cold.ports.ObjectStore` around another one."""

    def __init__(self, store: ObjectStore, clock: Clock) -> None:
        self.url = store.url
        self.watch = StoreWatch()
        self.inner = store
        self._clock = clock

    def put(
        self,
        key: str,
        body: Sequence[Part],
        *,
        if_absent: bool = False,
        if_match: str | None = None,
    ) -> Pending[ObjectFacts]:
        """See ObjectStore."""
        size = parts_length(body)
        stored = self.inner.put(key, body, if_absent=if_absent, if_match=if_match)
        return self._watched(stored, Operation.PUT, key, up=size)

    def get_range(self, key: str, start: int, length: int) -> Pending[bytes | memoryview]:
        """See ObjectStore."""
        found = self.inner.get_range(key, start, length)
        return self._watched(found, Operation.GET, key, down=length)

    def head(self, key: str) -> Pending[ObjectFacts]:
        """See ObjectStore."""
        return self._watched(self.inner.head(key), Operation.HEAD, key)

    def delete(self, key: str) -> Pending[None]:
        """See ObjectStore."""
        return self._watched(self.inner.delete(key), Operation.DELETE, key)

    def list(self, prefix: str, after: str | None = None) -> Pending[ObjectPage]:
        """See ObjectStore."""
        return self._watched(self.inner.list(prefix, after), Operation.LIST, "")

    def requests(self) -> dict[Operation, int]:
        """Requests since the start, as a bill would have them.

        A store that sends several for one operation (parts of an upload, a look at what was
        stored) counts them itself; retries of its library are not seen.
        """
        counted = getattr(self.inner, "counts", None)
        if not isinstance(counted, RequestCounts):
            return {operation: self.watch.count(operation) for operation in Operation}
        return {
            Operation.PUT: counted.puts,
            Operation.GET: counted.gets,
            Operation.HEAD: counted.heads,
            Operation.DELETE: counted.deletes,
            Operation.LIST: counted.lists,
        }

    def close(self) -> None:
        """See ObjectStore."""
        self.inner.close()

    def _watched(
        self, asked: Pending[T], operation: Operation, key: str, *, up: int = 0, down: int = 0
    ) -> Pending[T]:
        def answered(done: Pending[T]) -> None:
            watch = self.watch
            outcome = _outcome(done.error)
            watch.note(operation, outcome, key, up, down)
            if outcome in (Outcome.UNAVAILABLE, Outcome.ERROR):
                watch.error, watch.error_ms = str(done.error), self._clock.now_ms()
            if outcome is not Outcome.UNAVAILABLE:
                if not isinstance(done.error, BodyUnreadableError):
                    watch.answered, watch.down_since_ms = True, None
            elif watch.down_since_ms is None:
                watch.down_since_ms = watch.error_ms

        asked.on_done(answered)
        return asked


def _outcome(error: BaseException | None) -> Outcome:
    if error is None:
        return Outcome.OK
    if isinstance(error, ObjectNotFoundError):
        return Outcome.NOT_FOUND
    if isinstance(error, PreconditionFailedError):
        return Outcome.PRECONDITION_FAILED
    return Outcome.UNAVAILABLE if isinstance(error, StoreUnavailableError) else Outcome.ERROR
