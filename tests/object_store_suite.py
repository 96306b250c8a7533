"""What every object store owes, as tests: subclasses say which store by a `store` fixture.

A subclass may forbid itself something with a class attribute, and says why beside it.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tierbroker.base.parts import FileSlice, Part
from tierbroker.cold.checksum import crc64nvme
from tierbroker.cold.errors import (
    BodyUnreadableError,
    ObjectDamagedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreError,
)
from tierbroker.cold.ports import ObjectFacts, ObjectStore

KEY = "cluster/incarnation/topic/0/00000000000000000000-00000000000000000009.0.7.seg"


class Lease:
    def __init__(self) -> None:
        self.released = 0

    def release(self) -> None:
        self.released += 1


@contextmanager
def slice_of(path: Path, content: bytes, position: int, length: int) -> Iterator[FileSlice]:
    path.write_bytes(content)
    fd = os.open(path, os.O_RDONLY)
    try:
        yield FileSlice(fd, position, length, Lease())
    finally:
        os.close(fd)


async def whole(store: ObjectStore, key: str) -> bytes:
    facts = await store.head(key)
    return bytes(await store.get_range(key, 0, facts.size_bytes)) if facts.size_bytes else b""


async def all_keys(store: ObjectStore, prefix: str, after: str | None = None) -> list[str]:
    keys: list[str] = []
    while True:
        page = await store.list(prefix, after)
        keys += [facts.key for facts in page.objects]
        if page.next_after is None:
            return keys
        after = page.next_after


class ObjectStoreSuite:
    multipart_bytes = 3 * 5 * 1024 * 1024 + 12_345
    """More than the store under test puts in one request."""

    # -- put and read back ---------------------------------------------------------------------

    async def test_what_was_put_comes_back(self, store: ObjectStore) -> None:
        facts = await store.put(KEY, [b"0123456789", bytearray(b"abc"), memoryview(b"xyz")])
        assert (facts.key, facts.size_bytes) == (KEY, 16)
        assert facts.checksum == crc64nvme(b"0123456789abcxyz")
        assert facts.etag
        assert bytes(await store.get_range(KEY, 0, 16)) == b"0123456789abcxyz"

    async def test_an_empty_object_is_an_object(self, store: ObjectStore) -> None:
        facts = await store.put("empty", [])
        assert (facts.size_bytes, facts.checksum) == (0, 0)
        assert (await store.head("empty")).size_bytes == 0

    async def test_a_slice_of_a_file_is_stored(self, store: ObjectStore, tmp_path: Path) -> None:
        content = os.urandom(300_000)
        with slice_of(tmp_path / "log", content, 1000, 200_000) as part:
            facts = await store.put(KEY, [b"head", part, b"tail"])
            assert part.lease.released == 0, "the caller releases"
        expected = b"head" + content[1000:201_000] + b"tail"
        assert facts.checksum == crc64nvme(expected)
        assert await whole(store, KEY) == expected

    async def test_a_large_object_of_slices_and_bytes(
        self, store: ObjectStore, tmp_path: Path
    ) -> None:
        content = os.urandom(self.multipart_bytes)
        with slice_of(tmp_path / "log", content, 0, len(content)) as part:
            facts = await store.put(KEY, [part, b"tail" * 1000, part])
        expected = content + b"tail" * 1000 + content
        assert (facts.size_bytes, facts.checksum) == (len(expected), crc64nvme(expected))
        head = await store.head(KEY)
        assert head.size_bytes == len(expected)
        assert head.etag == facts.etag
        assert head.checksum in (None, facts.checksum)
        assert await whole(store, KEY) == expected

    async def test_a_second_put_replaces_the_first(self, store: ObjectStore) -> None:
        first = await store.put(KEY, [b"one"])
        second = await store.put(KEY, [b"two"])
        assert first.etag != second.etag
        assert await whole(store, KEY) == b"two"

    async def test_a_file_that_was_cut_makes_no_object(
        self, store: ObjectStore, tmp_path: Path
    ) -> None:
        cut = slice_of(tmp_path / "log", b"x" * 100, 0, 200)
        with cut as part, pytest.raises(BodyUnreadableError, match="cut"):
            await store.put(KEY, [part])
        with pytest.raises(ObjectNotFoundError):
            await store.head(KEY)

    async def test_a_large_file_that_was_cut_makes_no_object(
        self, store: ObjectStore, tmp_path: Path
    ) -> None:
        size = self.multipart_bytes
        cut = slice_of(tmp_path / "log", bytes(size - 100), 0, size)
        with cut as part, pytest.raises(BodyUnreadableError):
            await store.put(KEY, [part])
        with pytest.raises(ObjectNotFoundError):
            await store.head(KEY)

    # -- ranges --------------------------------------------------------------------------------

    async def test_ranges_are_exact(self, store: ObjectStore) -> None:
        content = os.urandom(100_000)
        await store.put(KEY, [content])
        for start, length in ((0, 1), (1, 1), (99_999, 1), (0, 100_000), (500, 70_000)):
            piece = await store.get_range(KEY, start, length)
            assert bytes(piece) == content[start : start + length]

    async def test_ranges_at_the_same_time(self, store: ObjectStore) -> None:
        content = os.urandom(1_000_000)
        await store.put(KEY, [content])
        starts = range(0, 1_000_000, 50_000)

        async def read(start: int) -> bytes:
            return bytes(await store.get_range(KEY, start, 50_000))

        pieces = await asyncio.gather(*map(read, starts))
        assert b"".join(pieces) == content

    @pytest.mark.parametrize(("start", "length"), [(0, 11), (5, 6), (10, 1), (50, 10)])
    async def test_a_range_beyond_the_end_is_damage(
        self, store: ObjectStore, start: int, length: int
    ) -> None:
        await store.put(KEY, [b"0123456789"])
        with pytest.raises(ObjectDamagedError, match=r"seg.*10 bytes"):
            await store.get_range(KEY, start, length)

    # -- what is not there ---------------------------------------------------------------------

    async def test_what_is_not_there_is_not_found(self, store: ObjectStore) -> None:
        await store.put("there/object", [b"x"])
        for key in ("absent", "there", "there/object/below", "there/other"):
            with pytest.raises(ObjectNotFoundError, match=key):
                await store.head(key)
            with pytest.raises(ObjectNotFoundError, match=key):
                await store.get_range(key, 0, 1)

    async def test_deleted_is_gone_and_deleting_again_succeeds(self, store: ObjectStore) -> None:
        await store.put(KEY, [b"x"])
        assert await store.delete(KEY) is None
        with pytest.raises(ObjectNotFoundError):
            await store.head(KEY)
        assert await store.delete(KEY) is None
        await store.put(KEY, [b"again"])
        assert await whole(store, KEY) == b"again"

    # -- conditions ----------------------------------------------------------------------------

    async def test_create_only_if_absent(self, store: ObjectStore) -> None:
        await store.put("head", [b"one"], if_absent=True)
        with pytest.raises(PreconditionFailedError, match="head"):
            await store.put("head", [b"two"], if_absent=True)
        assert await whole(store, "head") == b"one"

    async def test_one_of_many_creators_wins(self, store: ObjectStore) -> None:
        async def create(number: int) -> bool:
            try:
                await store.put("head", [f"{number}".encode()], if_absent=True)
            except PreconditionFailedError:
                return False
            return True

        won = await asyncio.gather(*map(create, range(8)))
        assert won.count(True) == 1
        assert await whole(store, "head") == f"{won.index(True)}".encode()

    async def test_compare_and_swap(self, store: ObjectStore) -> None:
        first = await store.put("head", [b"one"])
        assert (await store.head("head")).etag == first.etag
        second = await store.put("head", [b"two"], if_match=first.etag)
        with pytest.raises(PreconditionFailedError, match="head"):
            await store.put("head", [b"three"], if_match=first.etag)
        assert await whole(store, "head") == b"two"
        await store.put("head", [b"three"], if_match=second.etag)
        assert await whole(store, "head") == b"three"

    async def test_one_of_many_swaps_wins(self, store: ObjectStore) -> None:
        first = await store.put("head", [b"old"])

        async def swap(number: int) -> ObjectFacts | None:
            try:
                return await store.put("head", [f"{number}".encode()], if_match=first.etag)
            except PreconditionFailedError:
                return None

        results = await asyncio.gather(*map(swap, range(8)))
        winners = [number for number, facts in enumerate(results) if facts is not None]
        assert len(winners) == 1
        assert await whole(store, "head") == f"{winners[0]}".encode()

    async def test_a_swap_of_what_is_not_there_fails(self, store: ObjectStore) -> None:
        facts = await store.put("head", [b"x"])
        await store.delete("head")
        with pytest.raises(StoreError):
            await store.put("head", [b"y"], if_match=facts.etag)
        with pytest.raises(ObjectNotFoundError):
            await store.head("head")

    async def test_an_etag_is_not_used_again(self, store: ObjectStore) -> None:
        seen = {(await store.put("head", [f"{number}".encode()])).etag for number in range(20)}
        assert len(seen) == 20

    # -- list ----------------------------------------------------------------------------------

    async def test_a_listing_is_in_the_order_of_the_keys(self, store: ObjectStore) -> None:
        keys = ["a-b", "a/c", "a/b/c", "a.d", "b", "a0", "B/x", "_y", "a/b-c", "a/é", "a/z"]
        for key in keys:
            await store.put(key, [key.encode()])
        ordered = sorted(keys, key=str.encode)
        assert await all_keys(store, "") == ordered
        page = await store.list("", None)
        sizes = {facts.key: facts.size_bytes for facts in page.objects}
        assert all(sizes[key] == len(key.encode()) for key in sizes)
        for after in ordered:
            assert await all_keys(store, "", after) == ordered[ordered.index(after) + 1 :]
        assert await all_keys(store, "", "a/b0") == [key for key in ordered if key > "a/b0"]

    async def test_a_listing_of_a_prefix(self, store: ObjectStore) -> None:
        for key in ("a/1", "a/2", "ab/1", "b/1", "aa", *(["a"] if self.key_below_a_key else [])):
            await store.put(key, [b"x"])
        assert await all_keys(store, "a/") == ["a/1", "a/2"]
        assert await all_keys(store, "ab") == ["ab/1"]
        assert await all_keys(store, "a/2") == ["a/2"]
        assert await all_keys(store, "c") == []
        assert await all_keys(store, "a/", "a/1") == ["a/2"]

    key_below_a_key = True
    """Whether `a` and `a/1` can exist side by side."""

    async def test_an_empty_store_lists_nothing(self, store: ObjectStore) -> None:
        page = await store.list("")
        assert page.objects == []
        assert page.next_after is None

    async def test_a_listing_of_many_pages(self, store: ObjectStore) -> None:
        keys = [f"many/{number:04}" for number in range(25)]
        await asyncio.gather(*(awaited(store, key) for key in keys))
        assert await all_keys(store, "many/") == keys

    # -- waiting -------------------------------------------------------------------------------

    async def test_a_put_that_nobody_waits_for_takes_no_lease_along(
        self, store: ObjectStore, tmp_path: Path
    ) -> None:
        content = os.urandom(self.multipart_bytes)
        with slice_of(tmp_path / "log", content, 0, len(content)) as part:
            pending = store.put(KEY, [part])
            pending.cancel()
        # The descriptor is closed now. The object is there whole, or not at all.
        try:
            assert await whole(store, KEY) == content
        except ObjectNotFoundError:
            pass


async def awaited(store: ObjectStore, key: str) -> None:
    parts: list[Part] = [key.encode()]
    await store.put(key, parts)
