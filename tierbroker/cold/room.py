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
from tierbroker.cold.ports import ObjectFacts, ObjectStore
from tierbroker.cold.stores.work import begin


class RoomKeeper:
    """Uploads to a store, refused while its disk has no room (`cold.ports.ObjectWriter`).

    For segments: what lets local data go, slices and checkpoints, does not come by here.
    """

    def __init__(
        self,
        store: ObjectStore,
        executor: Executor,
        free_bytes: Callable[[], int],
        kept_bytes: int,
    ) -> None:
        """`free_bytes` is asked on the executor, and may raise OSError: then nothing is known."""
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
        """See ObjectWriter; raises StoreRefusedError where there is no room."""
        return tell(self._put(key, body, if_absent, if_match))

    async def _put(
        self, key: str, body: Sequence[Part], if_absent: bool, if_match: str | None
    ) -> ObjectFacts:
        free = await until(begin(self._executor, self._free))
        size_bytes = parts_length(body)
        if free is not None and free - size_bytes < self._kept_bytes:
            raise StoreRefusedError(
                f"{self._store.url}: its disk has {free} bytes free; an object of {size_bytes} "
                f"would leave less than {self._kept_bytes}, half of log.disk.reserve.bytes. Free "
                "some space, or lower the retention of tiered topics"
            )
        return await until(self._store.put(key, body, if_absent=if_absent, if_match=if_match))

    def _free(self) -> int | None:
        try:
            return self._free_bytes()
        except OSError:
            return None  # the directory is not there yet; what is wrong with it `put` will say
