import errno
from pathlib import Path

import pytest

from tests.faulty_fs import FaultyFileSystem
from tierbroker.hot.file_cache import FileCache


@pytest.fixture
def fs() -> FaultyFileSystem:
    return FaultyFileSystem()


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    paths = [str(tmp_path / name) for name in "abcd"]
    for path in paths:
        Path(path).write_bytes(b"x")
    return paths


def test_a_file_is_opened_when_it_is_needed_and_stays_while_it_is_used(
    fs: FaultyFileSystem, paths: list[str]
) -> None:
    cache = FileCache(fs, capacity=0)
    handle = cache.handle(paths[0])
    assert not handle.is_open
    fd = handle.acquire()
    assert handle.acquire() == fd
    handle.release()
    assert fs.pread(fd, 1, 0) == b"x"
    handle.release()
    assert not handle.is_open
    with pytest.raises(AssertionError, match="more often"):
        handle.release()


def test_the_file_idle_longest_makes_room(fs: FaultyFileSystem, paths: list[str]) -> None:
    cache = FileCache(fs, capacity=2)
    handles = [cache.handle(path) for path in paths[:3]]
    for handle in (*handles[:2], handles[0], handles[2]):
        handle.acquire()
        handle.release()
    assert [handle.is_open for handle in handles] == [True, False, True]


def test_a_used_file_is_never_the_one_to_go(fs: FaultyFileSystem, paths: list[str]) -> None:
    cache = FileCache(fs, capacity=1)
    used = cache.handle(paths[0])
    used.acquire()
    for path in paths[1:]:
        handle = cache.handle(path)
        handle.acquire()
        handle.release()
    cache.close_idle()
    assert used.is_open
    assert not cache.idle


def test_a_retired_file_closes_with_its_last_user(fs: FaultyFileSystem, paths: list[str]) -> None:
    cache = FileCache(fs)
    handle, idle = cache.handle(paths[0]), cache.handle(paths[1])
    handle.acquire()
    handle.retire()
    assert handle.is_open
    handle.release()
    assert not handle.is_open
    idle.acquire()
    idle.release()
    idle.retire()
    assert not idle.is_open
    assert not cache.idle


def test_idle_files_are_closed_when_descriptors_run_out(
    fs: FaultyFileSystem, paths: list[str]
) -> None:
    cache = FileCache(fs)
    idle, wanted = cache.handle(paths[0]), cache.handle(paths[1])
    idle.acquire()
    idle.release()
    fs.fail_next("open", errno.EMFILE)
    wanted.acquire()
    assert not idle.is_open
    fs.fail_next("open", errno.EMFILE)
    with pytest.raises(OSError, match="Too many open files"):
        cache.handle(paths[2]).acquire()
