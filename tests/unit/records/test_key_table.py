"""The key table holds the last offset of each key, in its dict and in its slots alike."""

import random

import pytest

from tierbroker.records.key_table import NAME_BYTES, NO_OFFSET, KeyTable, name_of


def filled(memory_bytes: int, writes: list[tuple[bytes, int]]) -> KeyTable:
    table = KeyTable(memory_bytes, 0.9)
    for name, offset in writes:
        assert table.has_room(1)
        table.recent[name] = offset
        table.pour_when_grown()
    return table


def test_few_keys_stay_exact() -> None:
    table = filled(1 << 16, [(b"a", 1), (b"b", 2), (b"a", 3)])
    assert table.exact
    lookup = table.seal()
    assert (lookup(b"a", NO_OFFSET), lookup(b"b", NO_OFFSET)) == (3, 2)
    assert lookup(b"c", NO_OFFSET) == NO_OFFSET
    assert sorted(table.last_offsets()) == [2, 3]


def test_many_keys_are_found_in_the_slots() -> None:
    rng = random.Random(5)
    writes = [(b"key-%d" % rng.randrange(2_000), offset) for offset in range(10_000)]
    table = filled(100_000, writes)
    assert not table.exact
    last = dict(writes)
    lookup = table.seal()
    assert {name: lookup(name, NO_OFFSET) for name in last} == last
    assert all(lookup(b"other-%d" % number, NO_OFFSET) == NO_OFFSET for number in range(500))
    assert sorted(each for each in table.last_offsets() if each >= 0) == sorted(last.values())


def test_last_offsets_are_complete_before_the_seal() -> None:
    table = KeyTable(1_000, 0.9)
    table.recent[b"first"] = 1
    table.pour()
    table.recent[b"second"] = 2
    assert sorted(each for each in table.last_offsets() if each >= 0) == [1, 2]


def test_a_full_table_has_no_room() -> None:
    table = KeyTable(1_000, 0.5)
    offset = 0
    while table.has_room(1):
        table.recent[b"%d" % offset] = offset
        offset += 1
    assert offset == table.max_keys == table.slots // 2
    # A key that is there already needs no slot, but nobody knows before it was poured.
    table.recent[b"0"] = offset
    assert not table.has_room(1)
    assert table.seal()(b"0", NO_OFFSET) == offset


def test_room_is_found_by_pouring_what_is_counted_twice() -> None:
    table = KeyTable(1_000, 0.9)
    names = [b"%d" % number for number in range(table.max_keys - 1)]
    table.recent.update((name, 0) for name in names)
    table.pour()
    table.recent.update((name, 1) for name in names)
    assert len(table) > table.max_keys
    assert table.has_room(1)
    assert not table.has_room(2)


def test_a_long_key_has_a_name_that_no_short_key_has() -> None:
    short, long = b"k" * NAME_BYTES, b"k" * (NAME_BYTES + 1)
    assert name_of(short) is short
    assert len(name_of(long)) > NAME_BYTES
    assert name_of(long) != name_of(long + b"k")
    assert name_of(long) == name_of(bytes(long))


def test_too_little_memory_for_a_key() -> None:
    with pytest.raises(ValueError, match="holds no key"):
        KeyTable(30, 0.9)
