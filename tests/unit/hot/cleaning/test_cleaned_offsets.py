"""How far a log is clean, in Kafka's file and in memory."""

import errno
import pathlib
import random
from typing import TYPE_CHECKING

import pytest

from tests.cleaning_world import compacted, fill
from tests.faulty_fs import FaultyFileSystem
from tierbroker.base.executor import InlineExecutor, ManualExecutor
from tierbroker.hot.cleaning.cleaned_offsets import CleanedOffsets
from tierbroker.hot.log_dirs import LogDirs

if TYPE_CHECKING:
    from tests.log_setup import LogSetup
    from tierbroker.hot.log import Log
    from tierbroker.hot.log_dir import LogDir


class Place:
    """A log directory with one log, `t-0`."""

    def __init__(self, path: pathlib.Path) -> None:
        self.fs = FaultyFileSystem()
        (self.dir,) = LogDirs.open(self.fs, [str(path)], rng=random.Random(0), node_id=1)
        self.file = path / "cleaner-offset-checkpoint"
        self.setup: LogSetup = compacted(str(path / "t-0"), self.fs)
        self.log: Log = self.setup.open()
        fill(self.log)
        self.failed: list[tuple[LogDir, OSError]] = []
        self.offsets = self.load()

    def load(self, executor: InlineExecutor | ManualExecutor | None = None) -> CleanedOffsets:
        offsets = CleanedOffsets(
            self.dir,
            InlineExecutor() if executor is None else executor,
            lambda log_dir, error: self.failed.append((log_dir, error)),
        )
        offsets.load()
        return offsets


@pytest.fixture
def place(tmp_path: pathlib.Path) -> Place:
    return Place(tmp_path)


def test_what_is_noted_is_found_again(place: Place) -> None:
    assert place.offsets.of(place.log) is None
    place.offsets.note(place.log, 30)
    place.offsets.write()
    assert place.file.read_text() == "0\n1\nt 0 30\n"
    assert place.load().of(place.log) == 30


def test_what_the_file_says_of_other_logs_is_kept(place: Place) -> None:
    place.file.write_text("0\n2\nt 0 30\nother 4 7\n")
    place.offsets = place.load()
    assert place.offsets.of(place.log) == 30
    place.offsets.note(place.log, 31)
    place.offsets.write()
    assert place.file.read_text() == "0\n2\nother 4 7\nt 0 31\n"


def test_an_offset_beyond_the_log_is_not_believed(place: Place) -> None:
    place.file.write_text("0\n1\nt 0 30000\n")
    assert place.load().of(place.log) is None


def test_a_cut_below_it_voids_it_even_when_the_log_grows_again(place: Place) -> None:
    place.offsets.note(place.log, 30)
    place.log.truncate_to(20)
    fill(place.log)
    assert place.offsets.of(place.log) is None
    place.offsets.write()
    assert not place.file.exists() or "t 0" not in place.file.read_text()


def test_a_cut_above_it_does_not(place: Place) -> None:
    place.offsets.note(place.log, 10)
    place.log.truncate_to(place.log.segments.active.base_offset)
    assert place.offsets.of(place.log) == 10


def test_a_log_made_anew_is_not_clean(place: Place) -> None:
    place.offsets.note(place.log, 30)
    place.log.delete()
    again = place.setup.open()
    fill(again)
    assert place.offsets.of(again) is None


def test_what_the_file_says_of_a_deleted_topic_is_not_true_of_the_next_one(place: Place) -> None:
    place.file.write_text("0\n2\nt 0 30\nother 4 7\n")
    written_ms = place.fs.mtime_ms(str(place.file))
    before = place.load()
    place.log.delete()
    again = place.setup.open()
    place.fs.set_mtime_ms(f"{again.dir}/partition.metadata", written_ms + 1)
    fill(again)
    # A broker that never looked at the old log keeps what is said of others, and only that.
    before.write()
    assert place.file.read_text() == "0\n1\nother 4 7\n"
    place.file.write_text("0\n2\nt 0 30\nother 4 7\n")
    place.fs.set_mtime_ms(str(place.file), written_ms)
    assert before.of(again) is None
    assert place.load().of(again) is None
    # Two things in one tick of the kernel's clock: nobody knows which came first.
    place.fs.set_mtime_ms(f"{again.dir}/partition.metadata", written_ms)
    assert place.load().of(again) is None
    place.fs.set_mtime_ms(f"{again.dir}/partition.metadata", written_ms - 1)
    assert place.load().of(again) == 30


def test_marks_that_move_during_a_write_are_written_after_it(place: Place) -> None:
    executor = ManualExecutor()
    offsets = place.load(executor)
    offsets.note(place.log, 10)
    offsets.write()
    offsets.note(place.log, 30)
    offsets.write()
    executor.run_all()
    assert place.file.read_text() == "0\n1\nt 0 30\n"


def test_a_disk_that_fails_is_reported(place: Place) -> None:
    place.offsets.note(place.log, 30)
    place.fs.fail_next("rename", errno.EIO, path_part="cleaner-offset")
    place.offsets.write()
    assert [error.errno for _, error in place.failed] == [errno.EIO]
