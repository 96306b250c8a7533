"""A checkpoint's object: the metadata snapshot, group offsets and log ends of one moment."""

from typing import NamedTuple

from tierbroker.cold.container import ContentKind, SectionKind, build_pieces, read_sections
from tierbroker.cold.errors import ObjectDamagedError
from tierbroker.cold.ports import CheckpointContent
from tierbroker.records.batch import Buffer


class CheckpointSections(NamedTuple):
    """What a restore finds in a checkpoint."""

    metadata: memoryview
    group_offsets: memoryview
    log_ends: memoryview


def build_checkpoint(content: CheckpointContent) -> list[bytes]:
    """The whole object, in pieces: the metadata of a large cluster is not copied."""
    return build_pieces(
        ContentKind.CHECKPOINT,
        (
            (SectionKind.METADATA, content.metadata),
            (SectionKind.GROUP_OFFSETS, (content.group_offsets,)),
            (SectionKind.LOG_ENDS, (content.log_ends,)),
        ),
    )


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
