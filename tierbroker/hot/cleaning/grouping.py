"""Which neighbouring segments become one (Kafka: Cleaner.groupSegmentsBySize). Pure.

Judged by the sizes before cleaning, so segments that shrink are merged by the next round.
"""

from collections.abc import Sequence
from typing import NamedTuple

from tierbroker.records.offset_index import MAX_RELATIVE_OFFSET


class InputSegment(NamedTuple):
    """A segment that is read: `end_offset` is the next one's base offset."""

    base_offset: int
    end_offset: int
    size_bytes: int
    index_bytes: int
    time_index_bytes: int
    last_modified_ms: int


def group_segments(
    segments: Sequence[InputSegment], *, segment_bytes: int, index_bytes: int
) -> list[list[InputSegment]]:
    """Groups of neighbours, each of which fits one segment and its indexes.

    An empty segment does not stretch the range of offsets: otherwise one would be left behind
    every 2^31 offsets of a log that is cleaned to nothing.
    """
    groups: list[list[InputSegment]] = []
    size = index_size = time_index_size = 0
    for segment in segments:
        size += segment.size_bytes
        index_size += segment.index_bytes
        time_index_size += segment.time_index_bytes
        if (
            groups
            and size <= segment_bytes
            and index_size <= index_bytes
            and time_index_size <= index_bytes
            and (
                segment.size_bytes == 0
                or segment.end_offset - 1 - groups[-1][0].base_offset <= MAX_RELATIVE_OFFSET
            )
        ):
            groups[-1].append(segment)
        else:
            groups.append([segment])
            size = segment.size_bytes
            index_size = segment.index_bytes
            time_index_size = segment.time_index_bytes
    return groups
