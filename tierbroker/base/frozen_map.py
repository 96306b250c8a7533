"""An immutable map that is cheap to change: a new map shares almost all of the old one.

The keys are spread over a fixed number of small dicts. A change copies the dicts it touches and
the tuple that holds them, so adding one topic to ten thousand copies about forty entries. The
spread comes from the key's bytes, never from Python's salted hash, so that the order of iteration
is the same in every process (the simulation depends on it).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar, cast, overload
from zlib import crc32

from tierbroker.base.ids import Uuid

PartitionKey = tuple[Uuid, int]
"""A partition by topic id and number."""

K = TypeVar("K", str, bytes, PartitionKey)
V = TypeVar("V")
D = TypeVar("D")

_SHARDS = 256
_MASK = _SHARDS - 1
_EMPTY: dict[str | bytes | PartitionKey, object] = {}


def _slot(key: str | bytes | PartitionKey) -> int:
    if isinstance(key, str):
        return crc32(key.encode()) & _MASK
    if isinstance(key, tuple):
        return crc32(key[0]) + key[1] & _MASK  # neighbours spread evenly
    return crc32(key) & _MASK


class FrozenMap(Generic[K, V]):
    """Read it like a Mapping; `with_changes` answers a new map."""

    __slots__ = ("_shards", "_size")

    def __init__(self) -> None:
        self._shards: tuple[dict[K, V], ...] = (cast("dict[K, V]", _EMPTY),) * _SHARDS
        self._size = 0

    def with_changes(self, changed: Mapping[K, V], removed: Iterable[K] = ()) -> "FrozenMap[K, V]":
        """A map without `removed` and with `changed` put in; this one stays as it is."""
        touched: dict[int, dict[K, V]] = {}
        for key in removed:
            shard = self._own(touched, key)
            shard.pop(key, None)
        for key, value in changed.items():
            self._own(touched, key)[key] = value
        if not touched:
            return self
        shards = list(self._shards)
        size = self._size
        for slot, shard in touched.items():
            size += len(shard) - len(shards[slot])
            shards[slot] = shard
        result: FrozenMap[K, V] = FrozenMap.__new__(FrozenMap)
        result._shards = tuple(shards)
        result._size = size
        return result

    def _own(self, touched: dict[int, dict[K, V]], key: K) -> dict[K, V]:
        slot = _slot(key)
        shard = touched.get(slot)
        if shard is None:
            shard = touched[slot] = self._shards[slot].copy()
        return shard

    def __getitem__(self, key: K) -> V:
        return self._shards[_slot(key)][key]

    @overload
    def get(self, key: K) -> V | None: ...
    @overload
    def get(self, key: K, default: D) -> V | D: ...
    def get(self, key: K, default: D | None = None) -> V | D | None:
        """The value of the key, or the default."""
        return self._shards[_slot(key)].get(key, default)

    def __contains__(self, key: K) -> bool:
        return key in self._shards[_slot(key)]

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[K]:
        for shard in self._shards:
            yield from shard

    def values(self) -> Iterator[V]:
        """The values, in the order of iteration."""
        for shard in self._shards:
            yield from shard.values()

    def items(self) -> Iterator[tuple[K, V]]:
        """The pairs, in the order of iteration."""
        for shard in self._shards:
            yield from shard.items()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FrozenMap) and self._shards == other._shards

    __hash__ = None  # type: ignore[assignment]  # its values need not be hashable

    def __repr__(self) -> str:
        return f"FrozenMap({dict(self.items())!r})"
