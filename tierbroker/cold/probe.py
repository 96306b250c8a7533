"""Tries out what the cold tier asks of a store, and says what follows from what does not work.

Writes a few objects under a name of its own and removes them again. What a bucket says about
itself is judged in `cold.probe_bucket`; this here believes nothing but what it sees happen.
"""

import random
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from tierbroker.base.clock import Clock
from tierbroker.base.story import Story, until
from tierbroker.cold.checksum import crc64nvme
from tierbroker.cold.errors import (
    ObjectDamagedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreError,
)
from tierbroker.cold.head import read_head
from tierbroker.cold.keys import SEGMENT_SUFFIX
from tierbroker.cold.ports import ObjectFacts, ObjectStore

MIB = 1024 * 1024
LARGE_BYTES = 6 * MIB
"""Sent in parts by a store that is opened with `IN_PARTS`."""
IN_PARTS = {
    "cold.multipart.threshold.bytes": str(5 * MIB),
    "cold.multipart.part.bytes": str(5 * MIB),
}
"""Settings to open the store with that is tried out: S3 takes no smaller part than that."""

SKEW_MAX_MS = 10_000
PREFIX = "tierbroker-check-"
LARGE_NAME = f"large{SEGMENT_SUFFIX}"


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    NOTE = "note"
    """It works, with consequences that one should know."""
    MISSING = "missing"
    """The broker needs it."""
    UNKNOWN = "unknown"


class Finding(NamedTuple):
    """One line of the report."""

    what: str
    verdict: Verdict
    found: str
    follows: str = ""
    """What it means for the cold tier, and what to do; empty when all is well."""


class _Check(NamedTuple):
    what: str
    story: Callable[[], Story[Finding]]
    follows: str
    """What follows when the store refuses it or does it wrongly."""
    otherwise: Verdict = Verdict.MISSING


class _WrongError(Exception):
    """The store does something else than it was asked. The message says what."""


class StoreProbe:
    """One store, tried out once."""

    def __init__(self, store: ObjectStore, clock: Clock, rng: random.Random) -> None:
        self._store = store
        self._clock = clock
        self._rng = rng
        self.prefix = f"{PREFIX}{rng.getrandbits(64):016x}/"
        """What is written comes below."""
        self._made: dict[str, None] = {}
        self._checksums: list[bool] = []
        self._written = False

    async def run(self, look: Callable[[str], Story[list[Finding]]] | None = None) -> list[Finding]:
        """Try everything out, clean up; a store that cannot be written ends it at once.

        `look` may add findings about the place, while there is an object like a segment's: it
        gets the key.
        """
        findings: list[Finding] = []
        first, *others = self._checks()
        findings.append(await self._tried(first))
        if findings[0].verdict is Verdict.OK:
            findings += [await self._tried(check) for check in others]
            if look is not None:
                findings += await look(self.prefix + LARGE_NAME)
            findings.append(await self._tried(self._last_check()))
        left = await self.clean_up()
        if left:
            findings.append(
                Finding("cleaning up", Verdict.NOTE, "; ".join(left), "Remove these objects.")
            )
        return findings

    async def clean_up(self) -> list[str]:
        """Remove what is there still; the keys, with the reason, of what could not be removed."""
        left = []
        for key in list(self._made):
            try:
                await self._delete(key)
            except StoreError as error:
                left.append(f"{key} ({error})")
        return left if self._written else []

    def _checks(self) -> tuple[_Check, ...]:
        return (
            _Check("write and read", self._write_and_read, "Nothing can be kept there."),
            _Check(
                "what is there", self._look_at_head, "A broker does not start with this cold.url."
            ),
            _Check("ranges", self._read_ranges, "Cold records cannot be read."),
            _Check(
                "create if absent",
                self._create_if_absent,
                "Two clusters that begin in one prefix would take each other's place.",
            ),
            _Check(
                "compare and swap",
                self._swap,
                "An old host that comes back after a restore would not be stopped.",
            ),
            _Check(
                "multipart upload",
                self._write_in_parts,
                "Segments above cold.multipart.threshold.bytes cannot be uploaded.",
            ),
            _Check(
                "full-object checksum",
                self._compare_checksums,
                "What is stored cannot be compared with what was sent.",
            ),
            _Check(
                "list",
                self._list,
                "tierbroker tier scrub does not work; brokers and restore need no listing.",
                Verdict.NOTE,
            ),
            _Check("clock", self._compare_clocks, "The age of objects is unknown.", Verdict.NOTE),
        )

    def _last_check(self) -> _Check:
        return _Check(
            "delete",
            self._remove,
            "Retention and the deletion of topics free nothing in the store.",
            Verdict.NOTE,
        )

    async def _tried(self, check: _Check) -> Finding:
        try:
            return (await check.story())._replace(what=check.what)
        except (StoreError, _WrongError) as error:
            return Finding(check.what, check.otherwise, str(error), check.follows)

    # -- the checks ------------------------------------------------------------------------------

    async def _write_and_read(self) -> Finding:
        content = b"tierbroker writes this to find out whether it can. It may be deleted.\n"
        begun = self._clock.monotonic()
        await self._put("small", content)
        written = self._clock.monotonic()
        await self._expect("small", content)
        read = self._clock.monotonic()
        return _fine(
            f"{len(content)} bytes written in {(written - begun) * 1000:.0f} ms, "
            f"found and read in {(read - written) * 1000:.0f} ms"
        )

    async def _look_at_head(self) -> Finding:
        found = await read_head(self._store)
        if found is None:
            return _fine("no cluster yet")
        head = found[0]
        latest = head.latest
        state = "no checkpoint yet" if latest is None else f"checkpoint {latest.sequence}"
        return _fine(f"cluster {head.cluster_id}, {state}")

    async def _read_ranges(self) -> Finding:
        content = self._rng.randbytes(100_000)
        key = await self._put("ranges", content)
        for start, length in ((0, 1), (99_999, 1), (12_345, 67_890)):
            piece = await until(self._store.get_range(key, start, length))
            if bytes(piece) != content[start : start + length]:
                raise _WrongError(f"bytes {start} to {start + length - 1} are not what was stored")
        try:
            await until(self._store.get_range(key, 99_990, 20))
        except ObjectDamagedError:
            return _fine("exact, and no byte beyond the end")
        raise _WrongError("a range beyond the end of an object was answered")

    async def _create_if_absent(self) -> Finding:
        key = self._key("created")
        await until(self._store.put(key, [b"first"], if_absent=True))
        try:
            await until(self._store.put(key, [b"second"], if_absent=True))
        except PreconditionFailedError:
            await self._expect("created", b"first")
            return _fine("the second one was refused")
        raise _WrongError("the condition is ignored: an object was overwritten")

    async def _swap(self) -> Finding:
        key = await self._put("swapped", b"first")
        first = (await until(self._store.head(key))).etag
        second = (await until(self._store.put(key, [b"second"], if_match=first))).etag
        await self._expect("swapped", b"second")
        try:
            await until(self._store.put(key, [b"third"], if_match=first))
        except PreconditionFailedError:
            await until(self._store.put(key, [b"fourth"], if_match=second))
            await self._expect("swapped", b"fourth")
            return _fine("a writer with an old etag was refused")
        raise _WrongError("the condition is ignored: an object was overwritten by an old writer")

    async def _write_in_parts(self) -> Finding:
        content = self._rng.randbytes(LARGE_BYTES)
        begun = self._clock.monotonic()
        await self._put(LARGE_NAME, content)
        written = self._clock.monotonic()
        await self._expect(LARGE_NAME, content)
        read = self._clock.monotonic()
        return _fine(
            f"{_rate(LARGE_BYTES, written - begun)} written, "
            f"{_rate(LARGE_BYTES, read - written)} read"
        )

    async def _compare_checksums(self) -> Finding:
        if self._checksums and all(self._checksums):
            return _fine("CRC-64/NVME of each object, kept by the store")
        kept = sum(self._checksums)
        found = "the store keeps none" if not kept else "the store keeps some"
        return Finding(
            "",
            Verdict.NOTE,
            found,
            "tierbroker tier verify reads objects whole to compare their checksums.",
        )

    async def _list(self) -> Finding:
        expected = list(self._made)
        keys: list[str] = []
        after: str | None = None
        while True:
            page = await until(self._store.list(self.prefix, after))
            keys += [facts.key for facts in page.objects]
            if page.next_after is None:
                break
            after = page.next_after
        if keys != sorted(expected):
            raise _WrongError(f"{len(keys)} objects are listed, not the {len(expected)} in order")
        return _fine(f"{len(keys)} objects, in the order of their keys")

    async def _compare_clocks(self) -> Finding:
        before_ms = self._clock.now_ms()
        key = await self._put("clock", b"tick")
        after_ms = self._clock.now_ms()
        stored_ms = (await until(self._store.head(key))).modified_ms
        # Stores keep whole seconds.
        skew_ms = max(stored_ms - after_ms, 0) or min(stored_ms + 999 - before_ms, 0)
        if abs(skew_ms) <= SKEW_MAX_MS:
            return _fine(f"within {max(abs(skew_ms) / 1000, 1):.0f} s of this machine's")
        direction = "ahead of" if skew_ms > 0 else "behind"
        return Finding(
            "",
            Verdict.NOTE,
            f"{abs(skew_ms) / 1000:.0f} s {direction} this machine's",
            "Set this machine's clock: the store refuses requests that are 15 minutes off.",
        )

    async def _remove(self) -> Finding:
        for key in list(self._made):
            await self._delete(key)
            try:
                await until(self._store.head(key))
            except ObjectNotFoundError:
                continue
            raise _WrongError(f"{key} is still there after it was deleted")
        return _fine("deleted is gone")

    # -- steps -----------------------------------------------------------------------------------

    def _key(self, name: str) -> str:
        key = f"{self.prefix}{name}"
        self._made[key] = None
        return key

    async def _put(self, name: str, content: bytes) -> str:
        key = self._key(name)
        await until(self._store.put(key, [content]))
        self._written = True
        return key

    async def _delete(self, key: str) -> None:
        await until(self._store.delete(key))
        self._made.pop(key, None)

    async def _expect(self, name: str, content: bytes) -> None:
        """Read what was written last."""
        facts: ObjectFacts = await until(self._store.head(self.prefix + name))
        if facts.size_bytes != len(content):
            raise _WrongError(
                f"an object of {facts.size_bytes} bytes is there after {len(content)} were written"
            )
        if facts.checksum is not None and facts.checksum != crc64nvme(content):
            raise _WrongError("the store's checksum is not that of what was written")
        self._checksums.append(facts.checksum is not None)
        found = await until(self._store.get_range(facts.key, 0, len(content)))
        if bytes(found) != content:
            raise _WrongError("what was read is not what was written last")


def _fine(found: str) -> Finding:
    return Finding("", Verdict.OK, found)


def _rate(size_bytes: int, seconds: float) -> str:
    return f"{size_bytes / MIB / max(seconds, 0.001):.0f} MiB/s"
