"""The packed rows against a dict."""

import random

from tierbroker.groups import offset_rows


def test_rows_behave_as_a_dict_by_partition() -> None:
    rng = random.Random(3)
    rows = bytearray()
    expected: dict[int, tuple[int, int, int, int]] = {}
    for step in range(4_000):
        partition = rng.randrange(-2, 60)
        if rng.random() < 0.4:
            assert offset_rows.remove(rows, partition) == (partition in expected)
            expected.pop(partition, None)
        else:
            value = (rng.randrange(1 << 62), rng.randrange(-1, 9), step, rng.randrange(3))
            offset_rows.put(rows, partition, *value)
            expected[partition] = value
        got = offset_rows.get(rows, partition)
        assert got == ((partition, *expected[partition]) if partition in expected else None)
        assert len(rows) == len(expected) * offset_rows.ROW_BYTES
    assert list(offset_rows.iterate(rows)) == [
        (partition, *value) for partition, value in sorted(expected.items())
    ]


def test_rows_may_change_while_they_are_iterated() -> None:
    rows = bytearray()
    for partition in range(3):
        offset_rows.put(rows, partition, 1, 2, 3, 0)
    seen = []
    for row in offset_rows.iterate(rows):
        seen.append(row[0])
        offset_rows.remove(rows, row[0])
    assert seen == [0, 1, 2]
    assert rows == b""
