import errno
import os
import random
from pathlib import Path

import pytest

from tests.faulty_fs import FaultyFileSystem
from tierbroker.base.clock import ManualClock, SystemClock
from tierbroker.base.executor import InlineExecutor, ManualExecutor
from tierbroker.base.fs import OsFileSystem
from tierbroker.cold.errors import (
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreRefusedError,
    StoreUnavailableError,
)
from tierbroker.cold.stores.directory import DirectoryStore


@pytest.fixture
def disk() -> FaultyFileSystem:
    return FaultyFileSystem()


@pytest.fixture
def store(tmp_path: Path, disk: FaultyFileSystem) -> DirectoryStore:
    return DirectoryStore(str(tmp_path / "cold"), InlineExecutor(), disk, SystemClock())


def content(store: DirectoryStore, key: str) -> bytes:
    size = store.head(key).result().size_bytes
    return bytes(store.get_range(key, 0, size).result())


def incoming(store: DirectoryStore) -> list[str]:
    return os.listdir(f"{store.root}/.incoming")


def test_an_object_is_a_plain_file(store: DirectoryStore) -> None:
    store.put("a/b/c.seg", [b"content"]).result()
    assert Path(store.root, "a/b/c.seg").read_bytes() == b"content"
    assert incoming(store) == []
    assert store.url == f"file://{store.root}"


@pytest.mark.parametrize(
    "key", ["../x", "a/../x", "/etc/passwd", "a//b", "", "a/", ".lock", "a/.b", "a\0b", "x" * 256]
)
def test_keys_that_lead_elsewhere_are_refused(store: DirectoryStore, key: str) -> None:
    with pytest.raises(StoreRefusedError, match="cannot be a file name"):
        store.put(key, [b"x"]).result()
    with pytest.raises(StoreRefusedError):
        store.get_range(key, 0, 1).result()
    with pytest.raises(StoreRefusedError):
        store.delete(key).result()
    with pytest.raises(StoreRefusedError):
        store.head(key).result()


def test_what_was_put_survives_a_power_cut(store: DirectoryStore, disk: FaultyFileSystem) -> None:
    store.put("a/b/c.seg", [b"content"]).result()
    disk.crash()
    assert content(store, "a/b/c.seg") == b"content"


@pytest.mark.parametrize("seed", range(20))
def test_a_power_cut_leaves_the_old_object_or_the_new_one(
    store: DirectoryStore, disk: FaultyFileSystem, seed: int
) -> None:
    rng = random.Random(seed)
    old, new = rng.randbytes(10_000), rng.randbytes(20_000)
    store.put("head", [old]).result()
    disk.fail_next("fsync_dir", errno.EIO)
    with pytest.raises(StoreUnavailableError):
        store.put("head", [new]).result()
    disk.crash(rng)
    assert content(store, "head") in (old, new)


@pytest.mark.parametrize("op", ["open", "write", "fsync", "rename"])
def test_a_failed_put_leaves_nothing(
    store: DirectoryStore, disk: FaultyFileSystem, op: str
) -> None:
    store.put("head", [b"old"]).result()
    disk.fail_next(op, errno.EIO)
    with pytest.raises(StoreUnavailableError, match="Input/output error"):
        store.put("head", [b"new"]).result()
    assert content(store, "head") == b"old"
    assert incoming(store) == []


def test_a_full_disk_is_a_refusal_that_says_so(
    store: DirectoryStore, disk: FaultyFileSystem
) -> None:
    disk.capacity_bytes = 5000
    with pytest.raises(StoreRefusedError, match=r"a/b: the file system is full"):
        store.put("a/b", [b"x" * 10_000]).result()
    assert incoming(store) == []
    store.put("a/b", [b"x" * 1000]).result()


def test_a_condition_that_is_lost_while_the_object_is_written(
    tmp_path: Path, disk: FaultyFileSystem
) -> None:
    class Overtaken(FaultyFileSystem):
        def fsync(self, fd: int) -> None:
            super().fsync(fd)
            other.put("head", [b"other"]).result()

    root = str(tmp_path / "cold")
    other = DirectoryStore(root, InlineExecutor(), disk, SystemClock())
    store = DirectoryStore(root, InlineExecutor(), Overtaken(), SystemClock())
    with pytest.raises(PreconditionFailedError, match="exists already"):
        store.put("head", [b"mine"], if_absent=True).result()
    assert content(store, "head") == b"other"
    etag = store.head("head").result().etag
    with pytest.raises(PreconditionFailedError):
        store.put("head", [b"mine"], if_match=etag).result()
    assert content(store, "head") == b"other"
    assert incoming(store) == []


def test_etags_differ_when_the_clock_stands_still(tmp_path: Path) -> None:
    class Frozen(OsFileSystem):
        def __init__(self) -> None:
            super().__init__()
            self.set_times: dict[str, int] = {}

        def mtime_ms(self, path: str) -> int:
            return self.set_times.get(os.path.basename(path), 1000)

        def set_mtime_ms(self, path: str, time_ms: int) -> None:
            self.set_times[os.path.basename(path)] = time_ms

        def rename(self, source: str, target: str) -> None:  # type: ignore[override]
            os.rename(source, target)
            moved = self.set_times.pop(os.path.basename(source), 1000)
            self.set_times[os.path.basename(target)] = moved

    store = DirectoryStore(str(tmp_path), InlineExecutor(), Frozen(), SystemClock())
    etags = {store.put("head", [b"x"]).result().etag for _ in range(5)}
    assert len(etags) == 5


def test_empty_directories_go_with_their_last_object(store: DirectoryStore) -> None:
    store.put("a/b/c/one", [b"x"]).result()
    store.put("a/two", [b"x"]).result()
    store.delete("a/b/c/one").result()
    assert sorted(os.listdir(f"{store.root}/a")) == ["two"]
    store.delete("a/two").result()
    assert not [name for name in os.listdir(store.root) if not name.startswith(".")]


def test_a_deleted_object_stays_deleted_over_a_power_cut(
    store: DirectoryStore, disk: FaultyFileSystem
) -> None:
    store.put("a/one", [b"x"]).result()
    store.put("a/two", [b"x"]).result()
    store.delete("a/one").result()
    disk.crash()
    with pytest.raises(ObjectNotFoundError):
        store.head("a/one").result()


def test_an_object_cannot_take_the_name_of_a_directory(store: DirectoryStore) -> None:
    store.put("a/b", [b"x"]).result()
    with pytest.raises(StoreRefusedError, match="a directory has that name"):
        store.put("a", [b"x"]).result()
    with pytest.raises(StoreRefusedError, match="a file has the name"):
        store.put("a/b/c", [b"x"]).result()
    assert incoming(store) == []


def test_what_dead_writers_left_is_removed_when_it_is_old(
    tmp_path: Path, disk: FaultyFileSystem
) -> None:
    clock = ManualClock(now_ms=10_000_000)
    store = DirectoryStore(str(tmp_path), InlineExecutor(), disk, clock)
    assert store.unfinished(0).result() == ()
    store.put("a", [b"x"]).result()
    for name, age_ms in (("1-1", 5000), ("1-2", 500)):
        path = Path(store.root, ".incoming", name)
        path.write_bytes(b"half")
        os.utime(path, (0, (10_000_000 - age_ms) / 1000))
    (left,) = store.unfinished(1000).result()
    assert (left.key, left.begun_ms) == ("1-1", 9_995_000)
    store.remove_unfinished([left]).result()
    store.remove_unfinished([left]).result()
    assert incoming(store) == ["1-2"]
    assert [facts.key for facts in store.list("").result().objects] == ["a"]


def test_a_cancelled_put_ends_early(tmp_path: Path) -> None:
    executor = ManualExecutor()
    store = DirectoryStore(str(tmp_path), executor, OsFileSystem(), SystemClock())
    pending = store.put("a", [b"x"])
    pending.cancel()
    executor.run_all()
    assert not Path(store.root, "a").exists()
    assert incoming(store) == []


@pytest.mark.parametrize("again", [False, True], ids=["same", "opened again"])
def test_a_directory_that_goes_away_is_not_made_anew(
    store: DirectoryStore, disk: FaultyFileSystem, *, again: bool
) -> None:
    """Its file system is not mounted any more: what is written meanwhile would be under it."""
    store.put("a/old", [b"old"]).result()
    if again:
        store = DirectoryStore(store.root, InlineExecutor(), disk, SystemClock())
        assert content(store, "a/old") == b"old"
    away = f"{store.root}.away"
    os.rename(store.root, away)
    os.mkdir(store.root)  # the mount point
    for refused in (
        lambda: store.put("a/new", [b"new"]),
        lambda: store.head("a/old"),
        lambda: store.get_range("a/old", 0, 3),
        lambda: store.delete("a/old"),
        lambda: store.list(""),
    ):
        with pytest.raises(StoreUnavailableError, match="mounted"):
            refused().result()
    assert os.listdir(store.root) == []
    os.rmdir(store.root)
    os.rename(away, store.root)
    store.put("a/new", [b"new"]).result()
    assert (content(store, "a/old"), content(store, "a/new")) == (b"old", b"new")
