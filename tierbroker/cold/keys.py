"""What objects are called in a bucket (D-7). The store's prefix comes before all of it.

    head
    {cluster id}/{incarnation}/checkpoints/{metadata offset}-{sequence}.ckpt
    {cluster id}/{incarnation}/{topic id}/{partition}/{base}-{end}.{epoch}.{intent}.seg   or .man

A key is never used twice: the offset of the intent in the metadata log is part of it, and a
restore works under a new incarnation. So a late PUT or DELETE of an attempt that was given up
cannot touch what counts. Offsets have twenty digits, as in Kafka's file names: keys sort by them.
"""

import re
from typing import NamedTuple

from tierbroker.base.ids import Uuid, parse_uuid, uuid_text

HEAD_KEY = "head"
SEGMENT_SUFFIX = ".seg"
MANIFEST_SUFFIX = ".man"
CHECKPOINT_SUFFIX = ".ckpt"

_OBJECT = re.compile(
    r"(?P<incarnation>[\w-]{22})/(?P<topic>[\w-]{22})/(?P<partition>\d+)/"
    r"(?P<base>\d{20})-(?P<end>\d{20})\.(?P<epoch>-?\d+)\.(?P<intent>\d+)(?P<suffix>\.seg|\.man)"
)


def incarnation_prefix(cluster_id: str, incarnation: Uuid) -> str:
    """Where everything lies that one incarnation of a cluster wrote, with a slash at its end."""
    return f"{cluster_id}/{uuid_text(incarnation)}/"


class ObjectName(NamedTuple):
    """What tells one object of a partition from every other one."""

    topic_id: Uuid
    partition: int
    base_offset: int
    end_offset: int
    """Inclusive."""
    leader_epoch: int
    intent_offset: int


def object_key(
    cluster_id: str, incarnation: Uuid, name: ObjectName, suffix: str = SEGMENT_SUFFIX
) -> str:
    """The key of a segment's object, or of a manifest's."""
    return (
        f"{incarnation_prefix(cluster_id, incarnation)}{uuid_text(name.topic_id)}/"
        f"{name.partition}/{name.base_offset:020}-{name.end_offset:020}."
        f"{name.leader_epoch}.{name.intent_offset}{suffix}"
    )


class KeyOfObject(NamedTuple):
    """What the key of an object says."""

    incarnation: Uuid
    name: ObjectName
    suffix: str
    """SEGMENT_SUFFIX or MANIFEST_SUFFIX."""


def read_object_key(cluster_id: str, key: str) -> KeyOfObject | None:
    """The way back from `object_key`; None for everything else that may lie in the bucket."""
    if not key.startswith(f"{cluster_id}/"):
        return None
    found = _OBJECT.fullmatch(key, len(cluster_id) + 1)
    if found is None:
        return None
    try:
        incarnation, topic_id = parse_uuid(found["incarnation"]), parse_uuid(found["topic"])
    except ValueError:
        return None
    numbers = [int(found[part]) for part in ("partition", "base", "end", "epoch", "intent")]
    return KeyOfObject(incarnation, ObjectName(topic_id, *numbers), found["suffix"])


def topic_of_key(key: str) -> str | None:
    """The topic id, as text, that an object's key names; None for a checkpoint and the head."""
    parts = key.split("/")
    return parts[2] if len(parts) == 5 else None


def checkpoint_key(cluster_id: str, incarnation: Uuid, metadata_offset: int, sequence: int) -> str:
    """The key of a checkpoint of the metadata as of that offset."""
    return (
        f"{incarnation_prefix(cluster_id, incarnation)}checkpoints/"
        f"{metadata_offset:020}-{sequence}{CHECKPOINT_SUFFIX}"
    )
