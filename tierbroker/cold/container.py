"""The frame of every object in the bucket: sections, a table of them, a footer. Pure bytes.

    section ... section | table: 24 bytes a section | footer: 24 bytes

Whoever knows the size of an object reads its end and finds everything from there; the format is
written down in docs/cold-format.md. All numbers are big-endian. Limits are checked before memory
is taken. Every section but the segment itself has a CRC-32C in the table, and the footer has one of
the table and of itself.
"""

import struct
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

from tierbroker.base.parts import Part
from tierbroker.cold.errors import ObjectDamagedError
from tierbroker.records.batch import Buffer
from tierbroker.records.checksum import crc32c

MAGIC = b"TIEROBJ\x01"
VERSION = 1
MAX_SECTIONS = 64

REQUIRED = 1
"""Flag of a section: a reader that does not know its kind must not read the object."""

_ENTRY = struct.Struct(">HHIQQ")  # kind, flags, checksum, position, length
_FOOTER_FACTS = struct.Struct(">HHHHI")  # version, content, sections, flags, reserved
_FOOTER_END = struct.Struct(">I8s")  # checksum of the table and of the facts, magic
ENTRY_BYTES = _ENTRY.size
FOOTER_BYTES = _FOOTER_FACTS.size + _FOOTER_END.size
MAX_TABLE_BYTES = MAX_SECTIONS * ENTRY_BYTES + FOOTER_BYTES
"""So many bytes at the end of an object surely hold its table."""


class ContentKind(IntEnum):
    """What an object is."""

    SEGMENT = 1
    MANIFEST = 2
    CHECKPOINT = 3


class SectionKind(IntEnum):
    """What a section is. Readers skip kinds that they do not know, unless flagged REQUIRED.

    A number never gets another meaning or another layout: a new form is a new kind.
    """

    LOG = 1
    """A segment in Kafka's format; its batches carry their own checksums."""
    OFFSET_INDEX = 2
    TIME_INDEX = 3
    ABORTED = 4
    """Entries of a transaction index."""
    PRODUCERS = 5
    """A producer snapshot."""
    LINEAGE = 6
    """The text of a leader-epoch-checkpoint."""
    ABOUT = 7
    """JSON for people and for tools that have nothing but the object."""
    SEGMENTS = 16
    """Packed tier segments."""
    INCARNATIONS = 17
    """16 bytes each, in the order of the numbers by which tier segments name them."""
    METADATA = 32
    """A metadata snapshot in KRaft's format."""
    GROUP_OFFSETS = 33
    """JSON lines of committed group offsets."""
    LOG_ENDS = 34
    """JSON lines of partitions: where their hot logs began and ended."""


_KNOWN = frozenset(SectionKind)


class Section(NamedTuple):
    """Where a section lies in its object."""

    kind: int
    position: int
    length: int
    checksum: int
    """CRC-32C of its bytes; 0 for LOG."""


class SectionBody(NamedTuple):
    """What a section is to hold."""

    parts: Sequence[Part]
    size_bytes: int
    checksum: int
    """CRC-32C of all its bytes."""
    made_as: int | None = None
    """CRC-64/NVME of them as they were made, where they have been on a disk since."""

    @classmethod
    def of(cls, *parts: bytes) -> "SectionBody":
        """Of parts in memory."""
        checksum = 0
        for part in parts:
            checksum = crc32c(part, checksum)
        return cls(parts, sum(map(len, parts)), checksum)


class Table(NamedTuple):
    """What the end of an object says."""

    content: int
    sections: tuple[Section, ...]

    def find(self, kind: SectionKind) -> Section | None:
        """The section of that kind, if the object has one."""
        return next((section for section in self.sections if section.kind == kind), None)


def build_end(
    content: ContentKind, sections: Sequence[tuple[SectionKind, bytes]], log_bytes: int = 0
) -> bytes:
    """All of an object that follows its first `log_bytes`, which are section LOG if there are any.

    An empty section is left out.
    """
    entries: list[bytes] = []
    if log_bytes:
        entries.append(_ENTRY.pack(SectionKind.LOG, 0, 0, 0, log_bytes))
    bodies = [(kind, SectionBody.of(body)) for kind, body in sections]
    table = _table(content, entries, bodies, log_bytes)
    return b"".join((*(body for _, body in sections), table))


def build_object(
    content: ContentKind, sections: Sequence[tuple[SectionKind, SectionBody]]
) -> list[Part]:
    """A whole object in parts, of sections in parts: large ones are not copied.

    An empty section is left out.
    """
    parts: list[Part] = []
    for _, body in sections:
        parts += body.parts
    return [*parts, _table(content, [], sections, 0)]


def _table(
    content: ContentKind,
    entries: list[bytes],
    sections: Sequence[tuple[SectionKind, SectionBody]],
    position: int,
) -> bytes:
    """The table and the footer, after `entries` and the sections, which begin at `position`."""
    for kind, body in sections:
        if body.size_bytes:
            entries.append(_ENTRY.pack(kind, 0, body.checksum, position, body.size_bytes))
            position += body.size_bytes
    assert len(entries) <= MAX_SECTIONS, f"an object of {len(entries)} sections"
    table = b"".join(entries) + _FOOTER_FACTS.pack(VERSION, content, len(entries), 0, 0)
    return table + _FOOTER_END.pack(crc32c(table), MAGIC)


def parse_table(end: Buffer, object_bytes: int) -> Table:
    """Read the table from the last bytes of an object of that size, as many as one has of it.

    Raises ObjectDamagedError for what is no object of ours, is one of a later version or has a
    section that this release would have to know, has a table that is longer than `end`, or names
    bytes that the object does not have.
    """
    if len(end) < FOOTER_BYTES or len(end) > object_bytes:
        raise ObjectDamagedError(f"{len(end)} bytes are no end of an object of {object_bytes}")
    footer_position = len(end) - FOOTER_BYTES
    version, content, count, _, _ = _FOOTER_FACTS.unpack_from(end, footer_position)
    checksum, magic = _FOOTER_END.unpack_from(end, footer_position + _FOOTER_FACTS.size)
    if magic != MAGIC:
        raise ObjectDamagedError(f"the object does not end with {MAGIC!r}: it is none of ours")
    if version != VERSION:
        raise ObjectDamagedError(
            f"the object has format {version}, this release reads {VERSION}: use a newer one"
        )
    table_position = footer_position - count * ENTRY_BYTES
    if count > MAX_SECTIONS or table_position < 0:
        raise ObjectDamagedError(f"a table of {count} sections does not fit")
    table = memoryview(end)[table_position:footer_position]
    if crc32c(memoryview(end)[table_position : footer_position + _FOOTER_FACTS.size]) != checksum:
        raise ObjectDamagedError("the table of sections does not match its checksum")
    limit = object_bytes - FOOTER_BYTES - count * ENTRY_BYTES
    sections: list[Section] = []
    for kind, flags, section_checksum, position, length in _ENTRY.iter_unpack(table):
        if flags & REQUIRED and kind not in _KNOWN:
            raise ObjectDamagedError(
                f"the object has a section of kind {kind}, which this release does not know and "
                "without which the object cannot be read: use a newer one"
            )
        if position + length > limit:
            raise ObjectDamagedError(
                f"section {kind} at {position} of {length} bytes leaves the object's {limit}"
            )
        sections.append(Section(kind, position, length, section_checksum))
    return Table(content, tuple(sections))


def read_sections(
    end: Buffer, object_bytes: int, content: ContentKind
) -> Mapping[SectionKind, memoryview]:
    """The sections that lie whole within `end`, the last bytes of an object, verified.

    Raises ObjectDamagedError also for a wrong kind of object and for a wrong checksum.
    """
    table = parse_table(end, object_bytes)
    if table.content != content:
        raise ObjectDamagedError(f"the object is of kind {table.content}, not {content!r}")
    start = object_bytes - len(end)
    view = memoryview(end)
    found: dict[SectionKind, memoryview] = {}
    for section in table.sections:
        begin = section.position - start
        if begin < 0 or section.kind not in _KNOWN or section.kind == SectionKind.LOG:
            continue
        body = view[begin : begin + section.length]
        if crc32c(body) != section.checksum:
            raise ObjectDamagedError(f"section {section.kind} does not match its checksum")
        found[SectionKind(section.kind)] = body
    return found
