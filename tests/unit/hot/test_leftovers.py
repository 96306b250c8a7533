"""What a start makes of a replacement that a crash interrupted, by the names that are there."""

import pathlib

import pytest

from tierbroker.base.fs import OsFileSystem
from tierbroker.hot.file_cache import FileCache
from tierbroker.hot.leftovers import clear_leftovers
from tierbroker.records.builder import build_batch
from tierbroker.records.record import Record

SIDES = ("index", "timeindex", "txnindex")


def batch(first: int, last: int) -> bytes:
    """A batch of these offsets."""
    records = [Record(0, 1, b"k", b"v", ())] * (last - first + 1)
    return build_batch(records, base_offset=first)


class Directory:
    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def put(self, offset: int, suffix: str, content: bytes = b"") -> None:
        (self.path / f"{offset:020}.{suffix}").write_bytes(content)

    def segment(self, first: int, last: int, ending: str = "") -> None:
        self.put(first, "log" + ending, batch(first, last))
        for side in SIDES:
            self.put(first, side + ending, b"of %d%s" % (first, ending.encode()))

    def clear(self) -> dict[str, bytes]:
        """What is left, by short name."""
        names = clear_leftovers(FileCache(OsFileSystem()), str(self.path))
        assert sorted(names) == sorted(entry.name for entry in self.path.iterdir())
        return {f"{int(n[:20])}{n[20:]}": (self.path / n).read_bytes() for n in names}


@pytest.fixture
def directory(tmp_path: pathlib.Path) -> Directory:
    return Directory(tmp_path)


def names(*offsets: int) -> set[str]:
    return {f"{offset}.{kind}" for offset in offsets for kind in ("log", *SIDES)}


def test_a_replacement_that_is_ready_is_finished_with_its_indexes(directory: Directory) -> None:
    for first in (0, 10, 20):
        directory.segment(first, first + 1)
    directory.segment(0, 11, ".swap")
    # Another group waits for its turn.
    directory.segment(20, 21, ".cleaned")
    left = directory.clear()
    assert set(left) == names(0, 20)
    assert left["0.log"] == batch(0, 11)
    assert left["0.txnindex"] == b"of 0.swap"
    assert left["20.txnindex"] == b"of 20"


def test_one_whose_names_are_not_complete_is_undone(directory: Directory) -> None:
    for first in (0, 10):
        directory.segment(first, first + 1)
    directory.segment(0, 11, ".swap")
    directory.put(0, "txnindex.cleaned")
    left = directory.clear()
    assert set(left) == names(0, 10)
    assert left["0.log"] == batch(0, 1)
    assert left["0.txnindex"] == b"of 0"


@pytest.mark.parametrize("done", [1, 2, 3])
def test_files_that_had_not_got_their_names_yet_get_them(directory: Directory, done: int) -> None:
    directory.segment(0, 11, ".swap")
    directory.segment(20, 21)
    directory.segment(0, 1, ".deleted")
    for suffix in ("log", *SIDES)[:done]:
        source = directory.path / f"{0:020}.{suffix}.swap"
        source.rename(source.with_suffix(""))
    left = directory.clear()
    assert set(left) == names(0, 20)
    assert left["0.log"] == batch(0, 11)
    assert left["0.txnindex"] == b"of 0.swap"


def test_an_index_without_any_log_goes(directory: Directory) -> None:
    directory.segment(0, 1)
    directory.put(10, "index.swap")
    directory.put(30, "index")
    assert set(directory.clear()) == names(0)
