"""What follows for the cold tier from where a directory store lies. Writes nothing."""

import os
from collections.abc import Sequence

from tierbroker.base.fs import FileSystem
from tierbroker.cold.probe import Finding, Verdict

GIB = 1024**3
LITTLE_BYTES = 10 * GIB


def judge_directory(root: str, log_dirs: Sequence[str], fs: FileSystem) -> list[Finding]:
    """The disk it shares with the logs, and what is free there."""
    return [_own_disk(root, log_dirs), _free(root, fs)]


def _own_disk(root: str, log_dirs: Sequence[str]) -> Finding:
    shared = [path for path in log_dirs if _device(path) == _device(root)]
    if not shared:
        return Finding("disk", Verdict.OK, "another one than that of log.dirs")
    return Finding(
        "disk",
        Verdict.NOTE,
        f"the one of {', '.join(shared)} (log.dirs)",
        "When the disk is lost, logs and cold tier are lost together, and what leaves the logs "
        "frees nothing. Good for trying things out.",
    )


def _free(root: str, fs: FileSystem) -> Finding:
    free = fs.free_bytes(_nearest(root))
    found = f"{free / GIB:.1f} GiB free"
    if free < LITTLE_BYTES:
        return Finding("space", Verdict.NOTE, found, "A full store stops the offload.")
    return Finding("space", Verdict.OK, found)


def _device(path: str) -> int:
    return os.stat(_nearest(path)).st_dev


def _nearest(path: str) -> str:
    """The path, or the nearest directory above that exists."""
    path = os.path.abspath(path)
    while not os.path.isdir(path) and path != "/":
        path = os.path.dirname(path)
    return path
