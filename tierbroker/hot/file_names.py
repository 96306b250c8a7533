"""Names of the files in a partition's directory (Kafka: LogFileUtils).

The files of a segment share its base offset in 20 digits. Pure: never looks at a disk.
"""

from typing import NamedTuple

LOG_SUFFIX = ".log"
INDEX_SUFFIX = ".index"
TIME_INDEX_SUFFIX = ".timeindex"
TXN_INDEX_SUFFIX = ".txnindex"
SNAPSHOT_SUFFIX = ".snapshot"
CLEANED_SUFFIX = ".cleaned"
SWAP_SUFFIX = ".swap"
DELETED_SUFFIX = ".deleted"
TEMPORARY_SUFFIX = ".tmp"

LEADER_EPOCH_FILE = "leader-epoch-checkpoint"
PARTITION_METADATA_FILE = "partition.metadata"
DAMAGED_REGIONS_FILE = "damaged-regions"

INDEX_SUFFIXES = (INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX)
SEGMENT_SUFFIXES = (LOG_SUFFIX, *INDEX_SUFFIXES)
_DIGITS = 20


class OffsetFile(NamedTuple):
    """A file named after an offset."""

    offset: int
    suffix: str


def offset_file_name(offset: int, suffix: str) -> str:
    """`00000000000000000042.log` for 42 and `.log`."""
    return f"{offset:0{_DIGITS}d}{suffix}"


def parse_offset_file(name: str) -> OffsetFile | None:
    """Offset and suffix (all that follows the digits), None for a file of another kind."""
    digits, suffix = name[:_DIGITS], name[_DIGITS:]
    if len(digits) < _DIGITS or not digits.isascii() or not digits.isdigit() or suffix[:1] != ".":
        return None
    return OffsetFile(int(digits), suffix)
