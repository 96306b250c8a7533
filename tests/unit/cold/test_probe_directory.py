"""Where a directory store lies."""

from pathlib import Path

from tierbroker.base.fs import OsFileSystem
from tierbroker.cold.probe import Verdict
from tierbroker.cold.probe_directory import LITTLE_BYTES, judge_directory


class Disk(OsFileSystem):
    free = LITTLE_BYTES

    def free_bytes(self, path: str) -> int:
        assert Path(path).is_dir()
        return self.free


def test_the_disk_of_the_logs_is_noted(tmp_path: Path) -> None:
    disk, space = judge_directory(str(tmp_path / "cold"), [str(tmp_path / "data")], Disk())
    assert disk.verdict is Verdict.NOTE
    assert str(tmp_path / "data") in disk.found
    assert space.verdict is Verdict.OK


def test_another_disk_is_fine(tmp_path: Path) -> None:
    disk, _ = judge_directory(str(tmp_path / "cold"), ["/proc/self"], Disk())
    assert disk.verdict is Verdict.OK


def test_little_space_is_noted(tmp_path: Path) -> None:
    fs = Disk()
    fs.free = LITTLE_BYTES - 1
    _, space = judge_directory(str(tmp_path), [], fs)
    assert space.verdict is Verdict.NOTE
