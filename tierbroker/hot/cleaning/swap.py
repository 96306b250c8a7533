"""Putting what a cleaning round wrote in the place of what it was made from, safe at every step.

Kafka's protocol, one group of segments after the other by rising offsets: `.cleaned` becomes
`.swap`, the directory is synced, the inputs become `.deleted`, `.swap` becomes the final name. A
start undoes a group before its `.swap` names are complete and finishes it afterwards
(`leftovers`). What these functions do takes microseconds; syncing is the caller's.
"""

from collections.abc import Sequence

from tierbroker.base.fs import FileSystem
from tierbroker.hot.cleaning.job import NewSegment
from tierbroker.hot.file_names import (
    CLEANED_SUFFIX,
    LOG_SUFFIX,
    SEGMENT_SUFFIXES,
    SWAP_SUFFIX,
    offset_file_name,
    parse_offset_file,
)
from tierbroker.hot.log import Log
from tierbroker.hot.segment import SealedSegment


def still_there(log: Log, segments: Sequence[SealedSegment]) -> bool:
    """Whether the log still has just these neighbours, whole: the generation check.

    Truncation and retention make new objects or take them away, damage is noted on them.
    """
    if log.closed or log.offline or not segments:
        return False
    slot = log.segments.slot_of(segments[0].base_offset)
    present = log.segments.sealed[slot : slot + len(segments)]
    # Segments are equal only if they are the same object.
    return present == list(segments) and not any(segment.damage for segment in segments)


def name_swap(fs: FileSystem, directory: str, new: NewSegment) -> None:
    """`.cleaned` becomes `.swap`, the log last: with it the replacement is ready. Raises OSError.

    The directory must be synced before `replace`.
    """
    for suffix in SEGMENT_SUFFIXES:
        cleaned = _path(directory, new.base_offset, suffix + CLEANED_SUFFIX)
        if suffix not in new.files and fs.exists(cleaned):
            # Somebody else's: a start would take it for a sign that these are not complete.
            fs.unlink(cleaned)
    log_path = _path(directory, new.base_offset, LOG_SUFFIX + CLEANED_SUFFIX)
    fs.set_mtime_ms(log_path, new.last_modified_ms)
    for suffix in reversed(new.files):
        source = _path(directory, new.base_offset, suffix + CLEANED_SUFFIX)
        target = _path(directory, new.base_offset, suffix + SWAP_SUFFIX)
        fs.rename(source, target)


def replace(log: Log, replaced: Sequence[SealedSegment], new: NewSegment) -> list[str]:
    """Inputs become `.deleted`, `.swap` the final name, in the log's memory too.

    Answers the files set aside, to be removed after the next sync of the directory. Raises
    KafkaStorageError; the log is offline then.
    """
    segment = SealedSegment(log.segments.cache, log.dir, new.base_offset, new.size_bytes)
    return log.replace_segments(replaced, segment, new.files)


def discard(fs: FileSystem, directory: str) -> None:
    """Remove all `.cleaned` and `.swap` files: their round is void. Raises OSError.

    May be interrupted: what was ready is made doubtful first, so that a start undoes it.
    """
    names = [name for name in fs.listdir(directory) if _is_unfinished(name)]
    for name in names:
        if name.endswith(LOG_SUFFIX + SWAP_SUFFIX):
            doubtful = name.removesuffix(SWAP_SUFFIX) + CLEANED_SUFFIX
            fs.rename(f"{directory}/{name}", f"{directory}/{doubtful}")
    unfinished = [name for name in fs.listdir(directory) if _is_unfinished(name)]
    for name in sorted(unfinished, key=lambda name: name.endswith(CLEANED_SUFFIX)):
        fs.unlink(f"{directory}/{name}")


def _is_unfinished(name: str) -> bool:
    file = parse_offset_file(name)
    return file is not None and file.suffix.endswith((CLEANED_SUFFIX, SWAP_SUFFIX))


def _path(directory: str, base_offset: int, suffix: str) -> str:
    return f"{directory}/{offset_file_name(base_offset, suffix)}"
