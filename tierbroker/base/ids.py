"""Identifiers: topic ids, directory ids, cluster ids and topic partitions.

A uuid is sixteen raw bytes everywhere in the broker: that is how it travels on the wire and lies
in records. Text appears only in files and in what people read.
"""

import base64
import binascii
import random
from typing import NamedTuple, NewType

Uuid = NewType("Uuid", bytes)

ZERO_UUID = Uuid(bytes(16))
_TEXT_LENGTH = 22


def uuid_text(uuid: Uuid) -> str:
    """Spell a uuid as Kafka does: url-safe base64 without padding, 22 characters."""
    return base64.urlsafe_b64encode(uuid)[:_TEXT_LENGTH].decode("ascii")


def parse_uuid(text: str) -> Uuid:
    """Read the 22-character form; raises ValueError when it is not one."""
    if len(text) != _TEXT_LENGTH:
        raise ValueError(f"a uuid has {_TEXT_LENGTH} characters, {text!r} has {len(text)}")
    try:
        return Uuid(base64.b64decode(text + "==", altchars=b"-_", validate=True))
    except binascii.Error as error:
        raise ValueError(f"{text!r} is not a url-safe base64 uuid") from error


def random_uuid(rng: random.Random) -> Uuid:
    """Draw a version 4 uuid whose text does not start with '-', which tools take for a flag."""
    while True:
        value = bytearray(rng.randbytes(16))
        value[6] = value[6] & 0x0F | 0x40
        value[8] = value[8] & 0x3F | 0x80
        uuid = Uuid(bytes(value))
        if not uuid_text(uuid).startswith("-"):
            return uuid


class TopicPartition(NamedTuple):
    """One partition of one topic; its text is also the name of its directory."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"
