"""A store in memory that fails, forgets to answer and answers late when a test says so."""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tierbroker.base.clock import Clock
from tierbroker.base.executor import InlineExecutor
from tierbroker.base.fs import OsFileSystem
from tierbroker.base.parts import Part, parts_length
from tierbroker.base.pending import Pending
from tierbroker.cold.ports import ObjectFacts, ObjectPage
from tierbroker.cold.stores.body import Body
from tierbroker.cold.stores.memory import MemoryStore


@dataclass
class _Fault:
    verb: str
    suffix: str
    error: Exception
    done: bool
    times: float


class FaultyStore:
    """`cold.ports.ObjectStore` over a MemoryStore; answers at once unless told otherwise."""

    def __init__(self, clock: Clock) -> None:
        self.inner = MemoryStore(InlineExecutor(), OsFileSystem(), clock)
        self.url = "memory://faulty"
        self.calls: Counter[str] = Counter()
        self.puts: list[str] = []
        """Keys of all attempts to write, in their order."""
        self.deleted: list[str] = []
        self._faults: list[_Fault] = []
        self._held: deque[Callable[[], None]] = deque()
        self._held_verbs: set[str] = set()
        self.ignores_conditions = False
        self.may_be_listed = False
        """Only where something is wrong already: never on a normal path."""

    @property
    def contents(self) -> dict[str, bytes]:
        """What is stored, by key."""
        return self.inner.contents

    def fail(
        self, verb: str, error: Exception, *, times: float = 1, suffix: str = "", done: bool = False
    ) -> None:
        """Fail the next calls on keys with that end; with `done` only the answer is lost."""
        self._faults.append(_Fault(verb, suffix, error, done, times))

    def heal(self) -> None:
        """No call fails any more."""
        self._faults.clear()

    def hold(self, *verbs: str) -> None:
        """Take these calls, and do and answer nothing before `release`."""
        self._held_verbs |= set(verbs)

    def hold_no_more(self) -> None:
        """Further calls are done at once; what is held stays so."""
        self._held_verbs.clear()

    def release(self, count: int | None = None) -> None:
        """Do what was held, in order; all of it, and nothing is held any more, by default."""
        if count is None:
            self._held_verbs.clear()
        left = len(self._held) if count is None else count
        for _ in range(left):
            self._held.popleft()()

    @property
    def held(self) -> int:
        """How many calls wait for `release`."""
        return len(self._held)

    def put(
        self,
        key: str,
        body: Sequence[Part],
        *,
        if_absent: bool = False,
        if_match: str | None = None,
    ) -> Pending[ObjectFacts]:
        """See ObjectStore."""
        self.puts.append(key)
        assert parts_length(body) > 0
        # What is on its way does not change when the files that it came from do.
        content = Body(OsFileSystem(), body)
        body = [bytes(content.read(0, content.size_bytes))]
        if self.ignores_conditions:
            if_absent, if_match = False, None
        return self._call(
            "put", key, lambda: self.inner.put(key, body, if_absent=if_absent, if_match=if_match)
        )

    def get_range(self, key: str, start: int, length: int) -> Pending[bytes | memoryview]:
        """See ObjectStore."""
        return self._call("get_range", key, lambda: self.inner.get_range(key, start, length))

    def head(self, key: str) -> Pending[ObjectFacts]:
        """See ObjectStore."""
        return self._call("head", key, lambda: self.inner.head(key))

    def delete(self, key: str) -> Pending[None]:
        """See ObjectStore."""
        self.deleted.append(key)
        return self._call("delete", key, lambda: self.inner.delete(key))

    def list(self, prefix: str, after: str | None = None) -> Pending[ObjectPage]:
        """See ObjectStore."""
        assert self.may_be_listed, "no LIST on a normal path"
        return self._call("list", prefix, lambda: self.inner.list(prefix, after))

    def close(self) -> None:
        """See ObjectStore."""

    def _call(self, verb: str, key: str, act: Callable[[], Pending[Any]]) -> Pending[Any]:
        self.calls[verb] += 1
        answer: Pending[Any] = Pending()
        fault = self._fault(verb, key)

        def go() -> None:
            if fault is not None and not fault.done:
                answer.fail(fault.error)
                return
            done = act()
            assert done.done
            if fault is not None:
                answer.fail(fault.error)
            elif done.error is not None:
                answer.fail(done.error)
            else:
                answer.resolve(done.result())

        if verb in self._held_verbs:
            self._held.append(go)
        else:
            go()
        return answer

    def _fault(self, verb: str, key: str) -> _Fault | None:
        for fault in self._faults:
            if fault.verb == verb and key.endswith(fault.suffix):
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
                return fault
        return None
