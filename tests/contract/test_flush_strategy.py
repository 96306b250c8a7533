"""What every flush strategy owes: all of it durable when it returns, or an error."""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tierbroker.base.clock import ManualClock
from tierbroker.base.fs import OsFileSystem
from tierbroker.hot.flush import FlushStrategy, FlushTarget
from tierbroker.hot.flush_strategy import (
    AdaptiveFlush,
    PerFileFlush,
    SyncfsFlush,
    make_strategy,
)


@dataclass
class RecordingDisk(OsFileSystem):
    """Notes what is synced, and takes as long for it as it is told."""

    clock: ManualClock = field(default_factory=ManualClock)
    synced: list[str] = field(default_factory=list)
    fail: dict[str, OSError] = field(default_factory=dict)
    file_ms: int = 0
    syncfs_ms: int = 0

    def __post_init__(self) -> None:
        super().__init__()
        self.fdatasync = self._fdatasync  # type: ignore[method-assign, assignment, unused-ignore]

    def _fdatasync(self, fd: int) -> None:
        self._note("file", os.readlink(f"/proc/self/fd/{fd}"), self.file_ms)

    def fsync_dir(self, path: str) -> None:
        if not os.path.isdir(path):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        self._note("dir", path, self.file_ms)

    def syncfs(self, fd: int) -> None:
        self._note("syncfs", "", self.syncfs_ms)

    def _note(self, kind: str, path: str, ms: int) -> None:
        self.clock.advance(ms)
        if kind in self.fail:
            raise self.fail[kind]
        self.synced.append(path or kind)


class FakeLog:
    def __init__(self, directory: str) -> None:
        self.dir = directory

    def dirty_files(self) -> FlushTarget:
        raise AssertionError("strategies get targets")

    def mark_flushed(self, offset: int) -> None:
        raise AssertionError("strategies know no offsets")


@dataclass
class Bench:
    disk: RecordingDisk
    root: Path
    strategy: FlushStrategy

    def target(self, name: str, *, files: int = 1, new: bool = False) -> FlushTarget:
        directory = self.root / name
        directory.mkdir(exist_ok=True)
        paths = [directory / f"{n}.log" for n in range(files)]
        fds = tuple(os.open(path, os.O_RDWR | os.O_CREAT) for path in paths)
        dirs = (str(directory), str(self.root)) if new else ()
        return FlushTarget(FakeLog(str(directory)), fds, dirs, 0)

    def covered(self, target: FlushTarget) -> bool:
        """Whether everything of the target was synced, names before data."""
        synced = self.disk.synced
        if "syncfs" in synced:
            return True
        files = [os.readlink(f"/proc/self/fd/{fd}") for fd in target.fds]
        wanted = [*target.new_dirs, *files]
        return all(path in synced for path in wanted) and all(
            synced.index(path) < synced.index(file) for path in target.new_dirs for file in files
        )


@pytest.fixture(params=["file", "file on threads", "syncfs", "auto"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    disk = RecordingDisk()
    strategy = (
        PerFileFlush(disk, threads=4)
        if request.param == "file on threads"
        else make_strategy(request.param, disk, [str(tmp_path)], disk.clock)
    )
    yield Bench(disk, tmp_path, strategy)
    strategy.close()


@pytest.mark.parametrize("logs", [0, 1, 3, 40])
def test_covers_every_file_and_new_name(bench: Bench, logs: int) -> None:
    targets = [bench.target(f"t-{n}", files=n % 3, new=n % 2 == 0) for n in range(logs)]
    bench.strategy.flush(targets)
    assert all(bench.covered(target) for target in targets)


def test_error_of_any_file_is_raised(bench: Bench) -> None:
    error = OSError(errno.EIO, "Input/output error")
    bench.disk.fail = {"file": error, "syncfs": error}
    with pytest.raises(OSError, match="Input/output"):
        bench.strategy.flush([bench.target(f"t-{n}") for n in range(3)])
    assert bench.disk.synced == []


def test_a_partition_deleted_meanwhile_is_no_error(bench: Bench) -> None:
    target = bench.target("t-0", new=True)
    (bench.root / "t-0").rename(bench.root / "t-0.gone-delete")
    bench.strategy.flush([target])


def test_no_descriptor_left_for_a_directory_is_no_error(bench: Bench) -> None:
    target = bench.target("t-0", new=True)
    bench.disk.fail = {"dir": OSError(errno.EMFILE, "Too many open files")}
    bench.strategy.flush([target])
    assert bench.covered(target)


def test_real_files_through_the_real_kernel(tmp_path: Path) -> None:
    strategies = [
        make_strategy(name, OsFileSystem(), [str(tmp_path)], ManualClock())
        for name in ("file", "syncfs", "auto")
    ]
    real = Bench(RecordingDisk(), tmp_path, strategies[0])
    targets = [real.target(f"t-{n}", new=True) for n in range(3)]
    for strategy in strategies:
        strategy.flush(targets)
        strategy.close()


def test_a_lost_log_directory_is_an_error(tmp_path: Path) -> None:
    disk = RecordingDisk()
    root = tmp_path / "data"
    root.mkdir()
    target = Bench(disk, root, PerFileFlush(disk)).target("t-0", new=True)
    root.rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError):
        PerFileFlush(disk).flush([target])


def test_syncfs_runs_once_per_file_system_and_refuses_an_unknown_one(tmp_path: Path) -> None:
    disk = RecordingDisk()
    roots = [tmp_path / name for name in ("a", "b")]
    for root in roots:
        root.mkdir()
    strategy = SyncfsFlush(disk, [str(root) for root in roots])
    strategy.flush([Bench(disk, root, strategy).target("t-0") for root in roots])
    assert disk.synced == ["syncfs"]
    with open("/dev/null", "rb") as elsewhere:
        foreign = FlushTarget(FakeLog(str(roots[0] / "t-0")), (elsewhere.fileno(),), (), 0)
        with pytest.raises(ValueError, match="device"):
            strategy.flush([foreign])
    strategy.close()


def test_adaptive_learns_the_crossover_and_unlearns_it(tmp_path: Path) -> None:
    disk = RecordingDisk(file_ms=1, syncfs_ms=20)
    strategy = AdaptiveFlush(disk, [str(tmp_path)], disk.clock)
    bench = Bench(disk, tmp_path, strategy)
    few = [bench.target(f"few-{n}") for n in range(2)]
    some = [bench.target(f"some-{n}") for n in range(15)]
    many = [bench.target(f"many-{n}") for n in range(40)]
    strategy.flush(few)
    strategy.flush(many)
    assert strategy.crossover_files == pytest.approx(20, rel=0.05)
    disk.synced.clear()
    strategy.flush(some)
    assert "syncfs" not in disk.synced
    disk.synced.clear()
    strategy.flush(many)
    assert disk.synced == ["syncfs"]
    disk.syncfs_ms = 5
    for _ in range(40):
        strategy.flush(many)
    disk.synced.clear()
    strategy.flush(some)
    assert disk.synced == ["syncfs"]


def test_adaptive_tries_a_slow_syncfs_again_after_a_while(tmp_path: Path) -> None:
    disk = RecordingDisk(file_ms=1, syncfs_ms=1000)
    strategy = AdaptiveFlush(disk, [str(tmp_path)], disk.clock)
    bench = Bench(disk, tmp_path, strategy)
    many = [bench.target(f"many-{n}") for n in range(20)]
    strategy.flush(many)
    strategy.flush(many[:2])
    disk.syncfs_ms = 2
    for _ in range(2000):
        strategy.flush(many)
    disk.synced.clear()
    for _ in range(500):
        strategy.flush(many)
    assert disk.synced.count("syncfs") > 490


def test_single_files_are_never_flushed_by_syncfs(tmp_path: Path) -> None:
    disk = RecordingDisk(file_ms=50, syncfs_ms=1)
    strategy = AdaptiveFlush(disk, [str(tmp_path)], disk.clock)
    bench = Bench(disk, tmp_path, strategy)
    one, many = bench.target("one"), [bench.target(f"many-{n}") for n in range(20)]
    for _ in range(50):
        strategy.flush([one])
        strategy.flush(many)
    disk.synced.clear()
    strategy.flush([one])
    assert "syncfs" not in disk.synced
