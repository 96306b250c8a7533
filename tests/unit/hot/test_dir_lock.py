"""The directory lock: exclusive within a process, across processes, and kept by one descriptor."""

import subprocess
import sys
from pathlib import Path

import pytest

from tierbroker.base.errors import DataDirError
from tierbroker.base.fs import OsFileSystem
from tierbroker.hot.dir_lock import LOCK_FILE, DirLock

FS = OsFileSystem()
TRY_LOCK = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
try:
    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    sys.exit(7)
"""
HOLD_LOCK = TRY_LOCK + "print('held', flush=True)\nsys.stdin.read()\n"


def other_process_can_lock(directory: Path) -> bool:
    path = str(directory / LOCK_FILE)
    return subprocess.run([sys.executable, "-c", TRY_LOCK, path], check=False).returncode == 0


def test_shuts_out_other_processes_until_released(tmp_path: Path) -> None:
    lock = DirLock(FS, str(tmp_path))
    assert not other_process_can_lock(tmp_path)
    lock.release()
    assert other_process_can_lock(tmp_path)


def test_second_attempt_in_the_process_fails_and_does_not_drop_the_first(tmp_path: Path) -> None:
    lock = DirLock(FS, str(tmp_path))
    with pytest.raises(DataDirError, match="another broker of this process"):
        DirLock(FS, str(tmp_path))
    assert not other_process_can_lock(tmp_path)
    lock.release()
    lock.release()
    DirLock(FS, str(tmp_path)).release()


def test_second_attempt_through_a_symbolic_link_is_seen(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "link").symlink_to(real)
    lock = DirLock(FS, str(real))
    with pytest.raises(DataDirError, match="in use"):
        DirLock(FS, str(tmp_path / "link"))
    lock.release()


def test_names_the_holding_process(tmp_path: Path) -> None:
    path = tmp_path / LOCK_FILE
    path.touch()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(DataDirError) as caught:
            DirLock(FS, str(tmp_path))
        holder.communicate("")
    assert f"process {holder.pid}" in str(caught.value)
    assert f"kill {holder.pid}" in str(caught.value)
    DirLock(FS, str(tmp_path)).release()


def test_missing_directory_is_explained(tmp_path: Path) -> None:
    with pytest.raises(DataDirError, match="No such file"):
        DirLock(FS, str(tmp_path / "nowhere"))
