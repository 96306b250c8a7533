"""The key table of a cleaning round: the last offset of each key, in memory of a fixed size.

Never holds all keys of a log: when it is full, the round ends at that offset and another round
goes on from there (Kafka: SkimpyOffsetMap). Two parts share the memory. `recent` is a plain dict
that the scan writes to; it holds keys, not hashes, so a round with few keys is exact. When it has
grown too large it is poured into packed slots of 24 bytes, found by open addressing: a 128-bit
keyed hash of the key and the offset. No key longer than `NAME_BYTES` is kept: `name_of` shortens.
"""

from array import array
from collections.abc import Callable
from hashlib import blake2b
from typing import Final, TypeAlias

NO_OFFSET: Final = -1
# A bytes object of this length takes 80 bytes of memory, as one of 32 does.
NAME_BYTES: Final = 47
SLOT_BYTES: Final = 24

Lookup: TypeAlias = Callable[[bytes, int], int]

# A longer name than any key that is its own name, so the two never meet.
_DIGEST_BYTES = NAME_BYTES + 1
# What an entry of the dict takes at most: name, offset, and its share of a dict that just grew.
_RECENT_ENTRY_BYTES = 192
_RECENT_SHARE = 4
_SECOND_HASH = b"\x5b"


def name_of(key: bytes) -> bytes:
    """The key itself, or its 384-bit digest where it is longer than `NAME_BYTES`."""
    return key if len(key) <= NAME_BYTES else blake2b(key, digest_size=_DIGEST_BYTES).digest()


class KeyTable:
    """Last offsets by name. Offsets of one name must be put in rising order."""

    __slots__ = (
        "_first",
        "_last_offsets",
        "_packed_count",
        "_second",
        "max_keys",
        "recent",
        "recent_limit",
        "slots",
    )

    def __init__(self, memory_bytes: int, load_factor: float) -> None:
        """`load_factor`: share of the slots that may be used (`log.cleaner.io.buffer.load.factor`).

        Raises ValueError when not even one key would fit.
        """
        recent_bytes = memory_bytes // _RECENT_SHARE
        self.recent: dict[bytes, int] = {}
        self.recent_limit = max(1, recent_bytes // _RECENT_ENTRY_BYTES)
        self.slots = _prime_at_most((memory_bytes - recent_bytes) // SLOT_BYTES)
        self.max_keys = int(self.slots * load_factor)
        if self.max_keys < 1:
            raise ValueError(f"a key table of {memory_bytes} bytes holds no key")
        self._packed_count = 0
        self._first = self._second = self._last_offsets = array("q")

    def __len__(self) -> int:
        """At most this many keys are held: one that is in both parts counts twice."""
        return self._packed_count + len(self.recent)

    @property
    def exact(self) -> bool:
        """Whether all keys are in `recent`, where no hash can be mistaken."""
        return not self._packed_count

    def has_room(self, keys: int) -> bool:
        """Whether that many new keys fit, pouring `recent` out first if that helps to tell."""
        if len(self) + keys <= self.max_keys:
            return True
        self.pour()
        return self._packed_count + keys <= self.max_keys

    def pour_when_grown(self) -> None:
        """To be called between bursts of writes to `recent`: keeps its memory bounded."""
        if len(self.recent) > self.recent_limit:
            self.pour()

    def pour(self) -> None:
        """Move all of `recent` into the packed slots."""
        if not self._last_offsets:
            self._allocate()
        first, second, offsets = self._first, self._second, self._last_offsets
        slots, count = self.slots, self._packed_count
        for name, offset in self.recent.items():
            word = hash(name)
            slot = word % slots
            # The slots are a prime number, so every step reaches all of them.
            step = 0
            while True:
                if offsets[slot] < 0:
                    first[slot] = word
                    second[slot] = hash(name + _SECOND_HASH)
                    offsets[slot] = offset
                    count += 1
                    break
                if first[slot] == word and second[slot] == hash(name + _SECOND_HASH):
                    offsets[slot] = offset
                    break
                step = step or (word >> 20) % (slots - 1) + 1
                slot = (slot + step) % slots
        self._packed_count = count
        self.recent.clear()

    def seal(self) -> Lookup:
        """The function that finds the last offset of a name, or answers its second argument.

        To be called when all keys are in.
        """
        if self.exact:
            return self.recent.get
        self.pour()
        return self._find

    def last_offsets(self) -> "array[int]":
        """The last offset of every key, unsorted; slots without one hold -1."""
        if self.exact:
            return array("q", self.recent.values())
        self.pour()
        return self._last_offsets

    def _find(self, name: bytes, default: int) -> int:
        word = hash(name)
        slots = self.slots
        slot = word % slots
        first, offsets = self._first, self._last_offsets
        step = 0
        while True:
            offset = offsets[slot]
            if offset < 0:
                return default
            if first[slot] == word and self._second[slot] == hash(name + _SECOND_HASH):
                return offset
            step = step or (word >> 20) % (slots - 1) + 1
            slot = (slot + step) % slots

    def _allocate(self) -> None:
        zeros = bytes(8)
        self._first = array("q", zeros) * self.slots
        self._second = array("q", zeros) * self.slots
        self._last_offsets = array("q", [NO_OFFSET]) * self.slots


def _prime_at_most(number: int) -> int:
    """The largest prime up to `number`, or `number` itself below 2."""
    while number > 2 and any(number % divisor == 0 for divisor in range(2, _root(number) + 1)):
        number -= 1
    return number


def _root(number: int) -> int:
    return int(number**0.5)
