"""Names of the directories that hold partitions, and what became of them.

`topic-0` is live; Kafka marks others by a suffix after a unique id: `topic-0.<32 hex>-delete`
awaits removal, `-stray` belongs to no known topic, `-future` is being moved between directories.
Pure: never looks at a disk.
"""

import re
from enum import Enum
from typing import NamedTuple

from tierbroker.base.ids import TopicPartition

METADATA_TOPIC = "__cluster_metadata"
"""Its directory lies among the others but belongs to the metadata log alone."""
_NAME_MAX = 255
_NAME = re.compile(
    r"(?P<topic>[a-zA-Z0-9._-]{1,249})-(?P<partition>0|[1-9][0-9]{0,9})"
    r"(?:\.(?P<unique>[0-9a-f]{32})-(?P<state>delete|stray|future))?"
)


class DirState(Enum):
    """What a partition directory is there for."""

    LIVE = ""
    DELETE = "delete"
    STRAY = "stray"
    FUTURE = "future"


class PartitionDir(NamedTuple):
    """A partition directory by its name. The topic of a marked one may be cut short."""

    topic_partition: TopicPartition
    state: DirState


def parse_partition_dir(name: str) -> PartitionDir | None:
    """What the directory name says; None when it is no partition's."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    slot = TopicPartition(match["topic"], int(match["partition"]))
    return PartitionDir(slot, DirState(match["state"] or ""))


def marked_dir_name(slot: TopicPartition, unique: str, state: DirState) -> str:
    """The new name of a partition directory; a long topic is cut so that it fits 255 bytes.

    `unique` is 32 hexadecimal digits.
    """
    assert state is not DirState.LIVE
    suffix = f"-{slot.partition}.{unique}-{state.value}"
    return slot.topic[: _NAME_MAX - len(suffix)] + suffix
