"""A manifest object: the entries of segments that the metadata log does not hold any more.

Immutable, one for a run of at least a thousand segments, named by the offsets they cover. The
metadata keeps one `TierSlice` for all of them. Pure bytes.
"""

from dataclasses import dataclass

from tierbroker.base.ids import Uuid
from tierbroker.cold.container import ContentKind, SectionKind, build_end, read_sections
from tierbroker.cold.errors import ObjectDamagedError
from tierbroker.records.batch import Buffer
from tierbroker.records.tier.errors import CorruptTierEventError
from tierbroker.records.tier.segment import SegmentArray, TierSegment

_UUID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Manifest:
    """The segments that a manifest lists."""

    segments: SegmentArray
    incarnations: tuple[Uuid, ...]
    """By the numbers that the segments give: for readers that have no metadata."""

    @property
    def size_bytes(self) -> int:
        """Memory that it takes, nearly."""
        return len(self.segments.data) + 200

    def find(self, offset: int) -> TierSegment:
        """The segment that holds the offset; raises ObjectDamagedError if none does."""
        slot = self.segments.slot_of(offset)
        if slot < 0:
            raise ObjectDamagedError(f"a manifest does not list offset {offset}, which it covers")
        return self.segments[slot]


def build_manifest(segments: SegmentArray, incarnations: tuple[Uuid, ...]) -> bytes:
    """The whole object."""
    return build_end(
        ContentKind.MANIFEST,
        (
            (SectionKind.SEGMENTS, segments.data),
            (SectionKind.INCARNATIONS, b"".join(incarnations)),
        ),
    )


def parse_manifest(data: Buffer) -> Manifest:
    """Read a whole object; raises ObjectDamagedError."""
    sections = read_sections(data, len(data), ContentKind.MANIFEST)
    nothing = memoryview(b"")
    ids = bytes(sections.get(SectionKind.INCARNATIONS, nothing))
    try:
        segments = SegmentArray(bytes(sections.get(SectionKind.SEGMENTS, nothing)))
    except CorruptTierEventError as error:
        raise ObjectDamagedError(f"a manifest: {error}") from error
    fault = segments.fault()
    if fault is not None or not len(segments) or len(ids) % _UUID_BYTES:
        raise ObjectDamagedError(f"a manifest of {len(segments)} segments: {fault or 'no run'}")
    return Manifest(
        segments,
        tuple(Uuid(ids[at : at + _UUID_BYTES]) for at in range(0, len(ids), _UUID_BYTES)),
    )
