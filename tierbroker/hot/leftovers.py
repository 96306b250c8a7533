"""What a crash leaves in a partition's directory, and how it is cleared away (Kafka: LogLoader).

`.deleted`, `.cleaned` and `.tmp` files never count. A `.swap` file is a finished replacement of
the segments it covers: the replacement is completed, its indexes with it, because nothing would
build the one of aborted transactions again. Index files without their log are leftovers.
"""

import logging

from tierbroker.base.fs import FileSystem
from tierbroker.hot.batch_scan import MalformedHeader, scan_headers
from tierbroker.hot.file_cache import FileCache
from tierbroker.hot.file_names import (
    CLEANED_SUFFIX,
    DELETED_SUFFIX,
    INDEX_SUFFIXES,
    LOG_SUFFIX,
    SEGMENT_SUFFIXES,
    SWAP_SUFFIX,
    TEMPORARY_SUFFIX,
    offset_file_name,
    parse_offset_file,
)

logger = logging.getLogger(__name__)


def clear_leftovers(cache: FileCache, directory: str) -> list[str]:
    """Finish or undo what was under way; answers the names that remain. Raises OSError.

    May be interrupted and repeated at any point.
    """
    fs = cache.fs
    names = fs.listdir(directory)
    _drop_doubtful_swaps(fs, directory, names)
    for name in names:
        if name.endswith((DELETED_SUFFIX, CLEANED_SUFFIX, TEMPORARY_SUFFIX)):
            fs.unlink(f"{directory}/{name}")
    swaps = sorted(_offsets(fs.listdir(directory), LOG_SUFFIX + SWAP_SUFFIX))
    if swaps:
        # The names of what replaces come before the end of what is replaced.
        fs.fsync_dir(directory)
    for offset in swaps:
        _complete_swap(cache, directory, offset)
    _complete_indexes(fs, directory)
    _drop_orphans(fs, directory)
    return fs.listdir(directory)


def _offsets(names: list[str], suffix: str) -> set[int]:
    parsed = [parse_offset_file(name) for name in names]
    return {file.offset for file in parsed if file is not None and file.suffix == suffix}


def _drop_doubtful_swaps(fs: FileSystem, directory: str, names: list[str]) -> None:
    """A `.cleaned` file at or below `.swap` files: the crash came while those were being named.

    What they would replace is still there, so the swap files go. Groups are swapped by rising
    offsets, so those that wait are above the one under way.
    """
    parsed = [parse_offset_file(name) for name in names]
    cleaned = {file.offset for file in parsed if file and file.suffix.endswith(CLEANED_SUFFIX)}
    if not cleaned:
        return
    for name in list(names):
        file = parse_offset_file(name)
        if file and file.suffix.endswith(SWAP_SUFFIX) and file.offset >= min(cleaned):
            fs.unlink(f"{directory}/{name}")
            names.remove(name)


def _complete_swap(cache: FileCache, directory: str, offset: int) -> None:
    fs = cache.fs
    swap = f"{directory}/{offset_file_name(offset, LOG_SUFFIX + SWAP_SUFFIX)}"
    end_offset = _end_offset(cache, swap, offset)
    for base_offset in _offsets(fs.listdir(directory), LOG_SUFFIX):
        if offset <= base_offset < end_offset:
            _remove_segment(fs, directory, base_offset)
    # Old indexes under the same name must not be taken for those of the new file.
    _remove_segment(fs, directory, offset)
    fs.rename(swap, f"{directory}/{offset_file_name(offset, LOG_SUFFIX)}")
    logger.info("completed the replacement of offsets %d to %d in %s", offset, end_offset, swap)


def _complete_indexes(fs: FileSystem, directory: str) -> None:
    """The log has its name, its indexes do not: the log is renamed first, so they are its own."""
    names = fs.listdir(directory)
    logs = _offsets(names, LOG_SUFFIX)
    for name in names:
        file = parse_offset_file(name)
        if file is None or not file.suffix.endswith(SWAP_SUFFIX):
            continue
        path = f"{directory}/{name}"
        if file.offset in logs:
            fs.rename(path, path.removesuffix(SWAP_SUFFIX))
        else:
            fs.unlink(path)


def _end_offset(cache: FileCache, path: str, base_offset: int) -> int:
    end_offset = base_offset + 1
    handle = cache.handle(path)
    fd = handle.acquire()
    try:
        for _, header in scan_headers(cache.fs, fd, 0, cache.fs.file_size(fd)):
            end_offset = header.next_offset
    except MalformedHeader as fault:
        # Recovery of the segment judges it once it has its name.
        logger.warning("%s is damaged: %s", path, fault)
    finally:
        handle.release()
        handle.retire()
    return end_offset


def _remove_segment(fs: FileSystem, directory: str, base_offset: int) -> None:
    for suffix in SEGMENT_SUFFIXES:
        path = f"{directory}/{offset_file_name(base_offset, suffix)}"
        if fs.exists(path):
            fs.unlink(path)


def _drop_orphans(fs: FileSystem, directory: str) -> None:
    names = fs.listdir(directory)
    logs = _offsets(names, LOG_SUFFIX)
    for name in names:
        file = parse_offset_file(name)
        if file and file.suffix in INDEX_SUFFIXES and file.offset not in logs:
            fs.unlink(f"{directory}/{name}")
