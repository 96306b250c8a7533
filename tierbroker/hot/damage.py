"""Damaged regions of a log: what they are, how walks get past them, and the note that keeps them.

A region was durable once and holds no valid batch any more. It is never cut and never served: its
offsets answer an error, everything around it is served (INV-11). The note `damaged-regions` beside
the segments tells the next start, which does not read what is below the recovery point.
"""

import logging
from collections.abc import Sequence
from typing import NamedTuple

from tierbroker.base.errors import KafkaStorageError
from tierbroker.base.fs import FileSystem, write_atomically
from tierbroker.base.ids import TopicPartition
from tierbroker.hot.file_names import DAMAGED_REGIONS_FILE
from tierbroker.records.errors import CorruptCheckpointError
from tierbroker.records.text_checkpoint import decode_lines, encode_lines, parse_number

logger = logging.getLogger(__name__)


class Damage(NamedTuple):
    """One region: bytes of a segment, and the offsets that nobody can read."""

    segment: int
    """Base offset of the segment."""
    position: int
    end_position: int
    """Equal to `position` where the bytes are missing altogether."""
    first_offset: int
    next_offset: int
    """The first offset behind the region."""


Regions = tuple[Damage, ...]
"""By rising position."""


def behind(regions: Regions, position: int) -> int:
    """The first byte at or after `position` that is in none of the segment's regions."""
    for region in regions:
        if region.position <= position < region.end_position:
            position = region.end_position
    return position


def of_segment(regions: Regions, base_offset: int) -> Regions:
    """Those of one segment."""
    return tuple([region for region in regions if region.segment == base_offset])


def check_offset(regions: Regions, offset: int, topic_partition: TopicPartition) -> None:
    """Raise KafkaStorageError for an offset inside a region."""
    for region in regions:
        if region.first_offset <= offset < region.next_offset:
            raise KafkaStorageError(
                f"offset {offset} of {topic_partition} is lost to damage on the disk, the log "
                f"goes on at offset {region.next_offset}"
            )


def bytes_before(regions: Regions, position: int, length: int) -> int:
    """How many of `length` bytes from `position` on lie before the segment's next region."""
    for region in regions:
        if region.position >= position:
            length = min(length, region.position - position)
    return length


def end_before(regions: Regions, max_offset: int, position: int) -> int:
    """Where what lies wholly below `max_offset` ends, if batches alone would say `position`."""
    return min([position, *(r.position for r in regions if r.next_offset > max_offset)])


def report(topic_partition: object, path: str, region: Damage, reason: str) -> None:
    """Tell a person: what, where, and what to do."""
    logger.error(
        "%s: bytes %d to %d of %s are damaged (%s). They are kept as they are; offsets %d to %d "
        "answer KAFKA_STORAGE_ERROR, all others are served. Stop the broker and restore the file "
        "from a replica or a backup, or let consumers go on at offset %d",
        topic_partition,
        region.position,
        region.end_position,
        path,
        reason,
        region.first_offset,
        region.next_offset - 1,
        region.next_offset,
    )


def read_note(fs: FileSystem, directory: str) -> Regions:
    """The regions that the directory's note names; raises OSError.

    A note that cannot be read counts as none: the scrub finds the damage again.
    """
    path = f"{directory}/{DAMAGED_REGIONS_FILE}"
    try:
        lines = decode_lines(fs.read_file(path), len(Damage._fields))
        return tuple(sorted(Damage(*map(parse_number, line)) for line in lines))
    except CorruptCheckpointError as error:
        logger.warning("%s: %s; damage that it named must be found anew", path, error)
        return ()


def write_note(fs: FileSystem, directory: str, regions: Sequence[Damage]) -> None:
    """Make the note say so, durably; without regions there is none. Raises OSError."""
    path = f"{directory}/{DAMAGED_REGIONS_FILE}"
    if regions:
        lines = [" ".join(map(str, region)) for region in sorted(regions)]
        write_atomically(fs, path, encode_lines(lines))
    elif fs.exists(path):
        fs.unlink(path)
        fs.fsync_dir(directory)
