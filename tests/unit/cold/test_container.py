"""The frame of objects: what is written is read, what is wrong is refused."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierbroker.cold.container import (
    ENTRY_BYTES,
    FOOTER_BYTES,
    REQUIRED,
    ContentKind,
    SectionKind,
    build_end,
    parse_table,
    read_sections,
)
from tierbroker.cold.errors import ObjectDamagedError
from tierbroker.records.checksum import crc32c

_SECTIONS = (
    (SectionKind.OFFSET_INDEX, b"index"),
    (SectionKind.TIME_INDEX, b""),
    (SectionKind.ABOUT, b"{}"),
)


def test_sections_are_read_from_the_end_of_the_object() -> None:
    end = build_end(ContentKind.SEGMENT, _SECTIONS, log_bytes=1000)
    found = read_sections(end, 1000 + len(end), ContentKind.SEGMENT)
    assert {kind: bytes(body) for kind, body in found.items()} == {
        SectionKind.OFFSET_INDEX: b"index",
        SectionKind.ABOUT: b"{}",
    }
    log = parse_table(end, 1000 + len(end)).find(SectionKind.LOG)
    assert log is not None
    assert (log.position, log.length) == (0, 1000)


def test_a_section_that_begins_before_the_bytes_at_hand_is_left_out() -> None:
    end = build_end(ContentKind.CHECKPOINT, [(SectionKind.METADATA, b"m" * 50), *_SECTIONS])
    part = end[20:]
    found = read_sections(part, len(end), ContentKind.CHECKPOINT)
    assert set(found) == {SectionKind.OFFSET_INDEX, SectionKind.ABOUT}


def _with_entry(end: bytes, kind: int, flags: int) -> bytes:
    """Another kind and other flags in the entry of the only section, and the checksum of that."""
    changed = bytearray(end)
    table, footer = len(end) - FOOTER_BYTES - ENTRY_BYTES, len(end) - FOOTER_BYTES
    struct.pack_into(">HH", changed, table, kind, flags)
    struct.pack_into(">I", changed, footer + 12, crc32c(changed[table : footer + 12]))
    return bytes(changed)


def test_a_kind_of_section_that_is_not_known_is_skipped() -> None:
    end = build_end(ContentKind.MANIFEST, [(SectionKind.SEGMENTS, b"s")])
    unknown = _with_entry(end, 999, 0)
    assert read_sections(unknown, len(end), ContentKind.MANIFEST) == {}
    # Flags that are not known say nothing that a reader has to know.
    flagged = _with_entry(end, SectionKind.SEGMENTS, 0xFFFF)
    assert read_sections(flagged, len(end), ContentKind.MANIFEST) == {SectionKind.SEGMENTS: b"s"}


def test_a_section_that_must_be_known_is_not_skipped() -> None:
    end = build_end(ContentKind.MANIFEST, [(SectionKind.SEGMENTS, b"s")])
    with pytest.raises(ObjectDamagedError, match=r"kind 999.*use a newer one"):
        parse_table(_with_entry(end, 999, REQUIRED), len(end))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda end: end[:-1] + b"\x02", "none of ours"),
        (lambda end: end[:10], "no end"),
        (lambda end: b"x" + end[1:], "section 2 does not match"),
        (lambda end: end[:-24] + b"\x00\x02" + end[-22:], "format 2"),
        (lambda end: end[:-20] + b"\x7f\xff" + end[-18:], "32767 sections"),
        (lambda end: end[:-22] + b"\x00\x02" + end[-20:], "table of sections"),
    ],
)
def test_what_is_damaged_is_said(change, message: str) -> None:
    end = change(build_end(ContentKind.SEGMENT, _SECTIONS))
    with pytest.raises(ObjectDamagedError, match=message):
        read_sections(end, len(end), ContentKind.SEGMENT)


def test_a_manifest_is_not_taken_for_a_segment() -> None:
    end = build_end(ContentKind.MANIFEST, _SECTIONS)
    with pytest.raises(ObjectDamagedError, match="kind 2"):
        read_sections(end, len(end), ContentKind.SEGMENT)


@given(st.data())
def test_no_flipped_bit_goes_unnoticed(data: st.DataObject) -> None:
    end = bytearray(build_end(ContentKind.SEGMENT, _SECTIONS))
    bit = data.draw(st.integers(0, len(end) * 8 - 1))
    end[bit >> 3] ^= 1 << (bit & 7)
    with pytest.raises(ObjectDamagedError):
        read_sections(end, len(end), ContentKind.SEGMENT)


@given(st.binary(max_size=200))
def test_rubbish_is_refused(data: bytes) -> None:
    with pytest.raises(ObjectDamagedError):
        read_sections(data, len(data) + 5, ContentKind.SEGMENT)
