"""Which segments become one."""

from tierbroker.hot.cleaning.grouping import InputSegment, group_segments


def bases(
    *segments: InputSegment, segment_bytes: int = 100, index_bytes: int = 50
) -> list[list[int]]:
    groups = group_segments(segments, segment_bytes=segment_bytes, index_bytes=index_bytes)
    return [[segment.base_offset for segment in group] for group in groups]


def segment(
    base_offset: int, end_offset: int, size: int, index: int = 0, time_index: int = 0
) -> InputSegment:
    return InputSegment(base_offset, end_offset, size, index, time_index, 0)


def test_neighbours_that_fit_are_merged() -> None:
    small = [segment(at, at + 10, 40) for at in range(0, 50, 10)]
    assert bases(*small) == [[0, 10], [20, 30], [40]]
    assert bases(segment(0, 10, 100), segment(10, 20, 1)) == [[0], [10]]
    assert bases() == []


def test_indexes_must_fit_too() -> None:
    assert bases(segment(0, 10, 1, index=30), segment(10, 20, 1, index=21)) == [[0], [10]]
    assert bases(segment(0, 10, 1, time_index=30), segment(10, 20, 1, time_index=20)) == [[0, 10]]


def test_offsets_must_fit_an_index() -> None:
    far = 2**31
    assert bases(segment(0, 10, 1), segment(10, far, 1)) == [[0, 10]]
    assert bases(segment(0, 10, 1), segment(10, far + 1, 1)) == [[0], [10]]
    assert bases(segment(0, 10, 1), segment(10, far + 1, 0)) == [[0, 10]]
