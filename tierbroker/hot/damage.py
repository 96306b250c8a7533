"""Damaged regions of a log: what they are, how walks get past them, and the note that keeps them.

A region was durable once and holds no valid batch any more. It is never cut and never served: its
offsets answer an error, everything around it is served (INV-11). The note `damaged-regions` beside
the segments tells the next start, which does not read what is below the recovery point.
"""

import logging
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, unquote

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


class Notice(NamedTuple):
    """What is known of a region beside its bounds."""

    noticed_ms: int
    """When it was found, milliseconds since 1970."""
    reason: str


_FIELDS = len(Damage._fields) + len(Notice._fields)

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


def next_step(path: str, region: Damage) -> str:
    """What a person can do about it."""
    return (
        f"Stop the broker and restore {path} from a replica or a backup, or let consumers go on "
        f"at offset {region.next_offset}"
    )


def report(topic_partition: object, path: str, region: Damage, reason: str) -> None:
    """Tell a person: what, where, and what to do."""
    logger.error(
        "%s: bytes %d to %d of %s are damaged (%s). They are kept as they are; offsets %d to %d "
        "answer KAFKA_STORAGE_ERROR, all others are served. %s",
        topic_partition,
        region.position,
        region.end_position,
        path,
        reason,
        region.first_offset,
        region.next_offset - 1,
        next_step("the file", region),
    )


def read_note(fs: FileSystem, directory: str) -> Regions:
    """The regions that the directory's note names; raises OSError."""
    return tuple(read_notices(fs, directory))


def read_notices(fs: FileSystem, directory: str) -> dict[Damage, Notice]:
    """The same with what is known of each, by segment and position; raises OSError.

    A note that cannot be read counts as none: the scrub finds the damage again.
    """
    path = f"{directory}/{DAMAGED_REGIONS_FILE}"
    try:
        lines = decode_lines(fs.read_file(path), _FIELDS)
        return dict(sorted(map(_decoded, lines)))
    except CorruptCheckpointError as error:
        logger.warning("%s: %s; damage that it named must be found anew", path, error)
        return {}


def write_note(fs: FileSystem, directory: str, damage: Mapping[Damage, Notice]) -> None:
    """Make the note say so, durably; without regions there is none. Raises OSError."""
    path = f"{directory}/{DAMAGED_REGIONS_FILE}"
    if damage:
        lines = [_encoded(region, notice) for region, notice in sorted(damage.items())]
        write_atomically(fs, path, encode_lines(lines))
    elif fs.exists(path):
        fs.unlink(path)
        fs.fsync_dir(directory)


def _encoded(region: Damage, notice: Notice) -> str:
    return " ".join([*map(str, region), str(notice.noticed_ms), quote(notice.reason, safe=",")])


def _decoded(line: list[str]) -> tuple[Damage, Notice]:
    *numbers, noticed_ms, reason = line
    region = Damage(*map(parse_number, numbers))
    return region, Notice(parse_number(noticed_ms), unquote(reason))
