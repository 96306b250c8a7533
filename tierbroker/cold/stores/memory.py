"""A store in memory: for brokers that keep nothing, for tests and for the simulation.

Each operation takes effect whole when the executor runs it, so an executor that is told when to
run decides the order of everything. No thread but the executor's touches the objects.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from tierbroker.base.clock import Clock
from tierbroker.base.executor import Executor
from tierbroker.base.fs import FileSystem
from tierbroker.base.parts import Part
from tierbroker.base.pending import Pending
from tierbroker.cold.checksum import crc64nvme
from tierbroker.cold.errors import (
    ObjectDamagedError,
    ObjectNotFoundError,
    PreconditionFailedError,
)
from tierbroker.cold.ports import ObjectFacts, ObjectPage
from tierbroker.cold.stores.body import Body
from tierbroker.cold.stores.work import begin

PAGE_OBJECTS = 1000


class MemoryStore:
    """Objects in a dictionary."""

    def __init__(
        self,
        executor: Executor,
        fs: FileSystem,
        clock: Clock,
        *,
        url: str = "memory://",
        page_objects: int = PAGE_OBJECTS,
    ) -> None:
        """`fs` reads the slices of bodies."""
        self.url = url
        self.contents: dict[str, bytes] = {}
        """What is stored, by key; a test may change it."""
        self._facts: dict[str, ObjectFacts] = {}
        self._executor = executor
        self._fs = fs
        self._clock = clock
        self._page_objects = page_objects
        self._writes = 0

    def put(
        self,
        key: str,
        body: Sequence[Part],
        *,
        if_absent: bool = False,
        if_match: str | None = None,
    ) -> Pending[ObjectFacts]:
        """See ObjectStore."""
        source = Body(self._fs, body)

        def work() -> ObjectFacts:
            content = bytes(source.read(0, source.size_bytes))
            present = self._facts.get(key)
            if if_absent and present is not None:
                raise PreconditionFailedError(f"{self.url}: {key} exists already")
            if if_match is not None and (present is None or present.etag != if_match):
                raise PreconditionFailedError(f"{self.url}: {key} is not the one of {if_match}")
            self._writes += 1
            self.contents[key] = content
            facts = self._facts[key] = ObjectFacts(
                key, len(content), str(self._writes), crc64nvme(content), self._clock.now_ms()
            )
            return facts

        return begin(self._executor, work, source.withdraw)

    def get_range(self, key: str, start: int, length: int) -> Pending[bytes | memoryview]:
        """See ObjectStore."""

        def work() -> bytes | memoryview:
            content = self.contents[self._existing(key).key]
            if start + length > len(content):
                raise ObjectDamagedError(
                    f"{self.url}: {key} has {len(content)} bytes, not the {start + length} expected"
                )
            return memoryview(content)[start : start + length]

        return begin(self._executor, work)

    def head(self, key: str) -> Pending[ObjectFacts]:
        """See ObjectStore."""
        return begin(self._executor, lambda: self._existing(key))

    def delete(self, key: str) -> Pending[None]:
        """See ObjectStore."""

        def work() -> None:
            self._facts.pop(key, None)
            self.contents.pop(key, None)

        return begin(self._executor, work)

    def list(self, prefix: str, after: str | None = None) -> Pending[ObjectPage]:
        """See ObjectStore."""

        def work() -> ObjectPage:
            keys = sorted(self._facts, key=str.encode)
            first = bisect_left(keys, prefix.encode(), key=str.encode)
            if after is not None:
                first = max(first, bisect_right(keys, after.encode(), key=str.encode))
            found = [key for key in keys[first:] if key.startswith(prefix)]
            page = [self._facts[key] for key in found[: self._page_objects]]
            more = len(found) > len(page)
            return ObjectPage(page, page[-1].key if more else None)

        return begin(self._executor, work)

    def close(self) -> None:
        """See ObjectStore."""

    def _existing(self, key: str) -> ObjectFacts:
        facts = self._facts.get(key)
        if facts is None:
            raise ObjectNotFoundError(f"{self.url}: no object {key}")
        return facts
