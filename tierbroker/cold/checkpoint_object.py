"""A checkpoint's object: the metadata snapshot, group offsets and log ends of one moment."""

from collections.abc import Sequence
from typing import NamedTuple

from tierbroker.base.parts import FileSlice, Part
from tierbroker.cold.checksum import crc64nvme
from tierbroker.cold.container import (
    ContentKind,
    SectionBody,
    SectionKind,
    build_object,
    read_sections,
)
from tierbroker.cold.errors import ObjectDamagedError
from tierbroker.cold.ports import CheckpointContent
from tierbroker.records.batch import Buffer


class CheckpointSections(NamedTuple):
    """What a restore finds in a checkpoint."""

    metadata: memoryview
    group_offsets: memoryview
    log_ends: memoryview


def build_checkpoint(content: CheckpointContent) -> list[Part]:
    """The whole object, in parts: the metadata of a large cluster is not copied."""
    return build_object(
        ContentKind.CHECKPOINT,
        (
            (SectionKind.METADATA, content.metadata),
            (SectionKind.GROUP_OFFSETS, SectionBody.of(content.group_offsets)),
            (SectionKind.LOG_ENDS, SectionBody.of(content.log_ends)),
        ),
    )


def checksum_as_made(content: CheckpointContent, parts: Sequence[Part]) -> int | None:
    """CRC-64/NVME of the object that `parts` are, if the metadata has been on a disk; else None.

    An object of which the disk has changed a byte must never let local data go.
    """
    checksum = content.metadata.made_as
    if checksum is None:
        return None
    for part in parts[len(content.metadata.parts) :]:
        assert not isinstance(part, FileSlice), "only the metadata, which comes first, is in a file"
        checksum = crc64nvme(part, checksum)
    return checksum


def parse_checkpoint(data: Buffer) -> CheckpointSections:
    """Read a whole object; raises ObjectDamagedError."""
    sections = read_sections(data, len(data), ContentKind.CHECKPOINT)
    metadata = sections.get(SectionKind.METADATA)
    if metadata is None:
        raise ObjectDamagedError("the checkpoint holds no metadata")
    nothing = memoryview(b"")
    return CheckpointSections(
        metadata,
        sections.get(SectionKind.GROUP_OFFSETS, nothing),
        sections.get(SectionKind.LOG_ENDS, nothing),
    )
