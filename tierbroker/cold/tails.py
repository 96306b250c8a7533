"""What lies behind the records of cold segments, kept in memory within a bound.

Indexes, aborted transactions and leader epochs of the segments that were read last: with them a
read needs one request to the store, without them two. Manifests of spilled slices are kept beside
them. Each is fetched once, however many wait for it.
"""

from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar

from tierbroker.base.pending import Pending
from tierbroker.base.story import tell
from tierbroker.cold.pieces import ObjectId


class Sized(Protocol):
    """A value that knows what memory it takes."""

    @property
    def size_bytes(self) -> int: ...


T = TypeVar("T")
V = TypeVar("V", bound=Sized)


class Fetched(Generic[V]):
    """Values by object; the ones that were not used for longest go first."""

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.size_bytes = 0
        self._values: OrderedDict[ObjectId, V] = OrderedDict()
        self._under_way: dict[ObjectId, Pending[V]] = {}

    def get(self, object_id: ObjectId) -> V | None:
        """The value, if it is here."""
        value = self._values.get(object_id)
        if value is not None:
            self._values.move_to_end(object_id)
        return value

    def fetch(self, object_id: ObjectId, fetch: Callable[[], Coroutine[Any, Any, V]]) -> Pending[V]:
        """The value; fetched if nobody does that already. Each caller has a `Pending` of its own,
        and the fetch goes on when one is cancelled."""
        mine: Pending[V] = Pending()
        value = self.get(object_id)
        if value is not None:
            mine.resolve(value)
            return mine
        shared = self._under_way.get(object_id)
        if shared is None:
            shared = self._under_way[object_id] = tell(fetch())
            shared.on_done(lambda done: self._keep(object_id, done))
        shared.on_done(lambda done: pass_on(done, mine))
        return mine

    def forget(self, object_id: ObjectId) -> None:
        """The object is damaged or counts no more."""
        value = self._values.pop(object_id, None)
        if value is not None:
            self.size_bytes -= value.size_bytes

    def _keep(self, object_id: ObjectId, done: Pending[V]) -> None:
        self._under_way.pop(object_id, None)
        if done.error is not None:
            return
        value = done.result()
        self._values[object_id] = value
        self.size_bytes += value.size_bytes
        while self.size_bytes > self.capacity_bytes and len(self._values) > 1:
            _, oldest = self._values.popitem(last=False)
            self.size_bytes -= oldest.size_bytes


def pass_on(done: Pending[T], to: Pending[T]) -> None:
    """What came to one `Pending` comes to another one, which somebody may have cancelled."""
    if done.error is not None:
        to.fail(done.error)
    else:
        to.resolve(done.result())
