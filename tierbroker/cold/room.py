"""Uploads to a directory leave room on its disk, which may be the disk of the logs.

Produce is refused while a log's disk has less free than its reserve, so that metadata and offsets
stay writable. Uploads of segments must not use that up in its stead. Half of it they may have: an
upload comes before the eviction that frees the same space.
"""

from collections.abc import Callable, Sequence

from tierbroker.base.executor import Executor
from tierbroker.base.parts import Part, parts_length
from tierbroker.base.pending import Pending
from tierbroker.base.story import tell, until
from tierbroker.cold.errors import StoreRefusedError
from tierbroker.cold.keys import SEGMENT_SUFFIX
from tierbroker.cold.ports import ObjectFacts, ObjectPage, ObjectStore
from tierbroker.cold.stores.work import begin


class RoomKeeper:
    """A store that refuses segments for which its disk has no room (`cold.ports.ObjectStore`)."""

    def __init__(
        self,
        store: ObjectStore,
        executor: Executor,
        free_bytes: Callable[[], int],
        kept_bytes: int,
    ) -> None:
        """`free_bytes` is asked on the executor, and may raise OSError: then nothing is known."""
        self.url = store.url
        self._store = store
        self._executor = executor
        self._free_bytes = free_bytes
        self._kept_bytes = kept_bytes

    def put(
        self,
        key: str,
        body: Sequence[Part],
        *,
        if_absent: bool = False,
        if_match: str | None = None,
    ) -> Pending[ObjectFacts]:
        """See ObjectStore. Small objects always go: checkpoints are what lets local data go."""
        if not key.endswith(SEGMENT_SUFFIX):
            return self._store.put(key, body, if_absent=if_absent, if_match=if_match)
        return tell(self._put_segment(key, body))

    async def _put_segment(self, key: str, body: Sequence[Part]) -> ObjectFacts:
        free = await until(begin(self._executor, self._free))
        size_bytes = parts_length(body)
        if free is not None and free - size_bytes < self._kept_bytes:
            raise StoreRefusedError(
                f"{self.url}: its disk has {free} bytes free; an object of {size_bytes} would "
                f"leave less than {self._kept_bytes}, half of log.disk.reserve.bytes. Free some "
                "space, or lower the retention of tiered topics"
            )
        return await until(self._store.put(key, body))

    def _free(self) -> int | None:
        try:
            return self._free_bytes()
        except OSError:
            return None  # the directory is not there yet; what is wrong with it `put` will say

    def get_range(self, key: str, start: int, length: int) -> Pending[bytes | memoryview]:
        """See ObjectStore."""
        return self._store.get_range(key, start, length)

    def head(self, key: str) -> Pending[ObjectFacts]:
        """See ObjectStore."""
        return self._store.head(key)

    def delete(self, key: str) -> Pending[None]:
        """See ObjectStore."""
        return self._store.delete(key)

    def list(self, prefix: str, after: str | None = None) -> Pending[ObjectPage]:
        """See ObjectStore."""
        return self._store.list(prefix, after)

    def close(self) -> None:
        """See ObjectStore."""
        self._store.close()
