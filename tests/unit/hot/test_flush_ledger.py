from pathlib import Path

import pytest

from tests.faulty_fs import FaultyFileSystem
from tierbroker.hot.file_cache import FileCache, FileHandle
from tierbroker.hot.flush_ledger import FlushLedger


@pytest.fixture
def cache() -> FileCache:
    return FileCache(FaultyFileSystem(), capacity=0)


def acquired(cache: FileCache, path: Path) -> FileHandle:
    path.write_bytes(b"")
    handle = cache.handle(str(path))
    handle.acquire()
    return handle


def test_a_file_stays_open_until_a_flush_covered_it(cache: FileCache, tmp_path: Path) -> None:
    active, sealed = acquired(cache, tmp_path / "a"), acquired(cache, tmp_path / "s")
    ledger = FlushLedger(0)
    ledger.add_files((sealed,))
    files, _ = ledger.begin(10, active)
    assert files == (active, sealed)
    for handle in files:
        handle.release()
    assert sealed.is_open
    ledger.finish(10)
    assert not sealed.is_open
    assert ledger.flushed_offset == 10
    assert not ledger.has_work(10)
    assert ledger.has_work(11)


def test_what_comes_while_a_flush_is_under_way_waits_for_the_next(
    cache: FileCache, tmp_path: Path
) -> None:
    active, late = acquired(cache, tmp_path / "a"), acquired(cache, tmp_path / "l")
    ledger = FlushLedger(0)
    ledger.add_directory("d")
    assert ledger.begin(5, active)[1] == ("d",)
    ledger.add_directory("d")
    ledger.add_files((late,))
    ledger.finish(5)
    assert ledger.begin(6, active) == ((active, late), ("d",))
    ledger.finish(6)
    assert ledger.begin(7, active) == ((active,), ())


def test_a_failed_flush_covers_nothing_and_the_next_one_has_it_all(
    cache: FileCache, tmp_path: Path
) -> None:
    active, sealed = acquired(cache, tmp_path / "a"), acquired(cache, tmp_path / "s")
    ledger = FlushLedger(3)
    ledger.add_files((sealed,))
    ledger.begin(5, active)
    assert ledger.begin(6, active)[0] == (active, sealed)
    assert ledger.flushed_offset == 3
    ledger.finish(6)
    assert ledger.flushed_offset == 6


def test_no_flush_begun_before_a_cut_covers_what_is_beyond(
    cache: FileCache, tmp_path: Path
) -> None:
    active = acquired(cache, tmp_path / "a")
    ledger = FlushLedger(4)
    ledger.begin(10, active)
    ledger.cut(7)
    ledger.finish(10)
    assert ledger.flushed_offset == 7
    ledger.cut(2)
    assert ledger.flushed_offset == 2
