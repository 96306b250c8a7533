"""The topics that consumers subscribe to, read from the metadata that they send to each other.

The coordinator passes metadata on unread; only OffsetDelete and the expiry of offsets need to
know which topics are in use. Every version of ConsumerProtocolSubscription begins like version 0:
int16 version, then an array of topic names.
"""

from collections.abc import Iterable
from struct import Struct

CONSUMER_PROTOCOL_TYPE = "consumer"

_INT16 = Struct(">h")
_INT32 = Struct(">i")


def subscribed_topics(metadata: Iterable[bytes]) -> frozenset[str] | None:
    """The topics of all members together; None if one of them cannot be read."""
    topics: set[str] = set()
    for distinct in set(metadata):
        names = _topics(distinct)
        if names is None:
            return None
        topics.update(names)
    return frozenset(topics)


def _topics(metadata: bytes) -> list[str] | None:
    if len(metadata) < 6:
        return None
    (version,) = _INT16.unpack_from(metadata, 0)
    (count,) = _INT32.unpack_from(metadata, 2)
    if version < 0 or count < 0 or count > (len(metadata) - 6) // 2:
        return None
    position = 6
    names = []
    for _ in range(count):
        if position + 2 > len(metadata):
            return None
        (length,) = _INT16.unpack_from(metadata, position)
        position += 2
        if length < 0 or position + length > len(metadata):
            return None
        try:
            names.append(metadata[position : position + length].decode())
        except UnicodeDecodeError:
            return None
        position += length
    return names
