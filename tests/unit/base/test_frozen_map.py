"""The immutable map."""

import time

from tierbroker.base.frozen_map import FrozenMap


def test_reads_like_a_mapping() -> None:
    empty: FrozenMap[str, int] = FrozenMap()
    two = empty.with_changes({"a": 1, "b": 2})
    assert (len(empty), len(two)) == (0, 2)
    assert two["a"] == 1
    assert two.get("c") is None
    assert two.get("c", 3) == 3
    assert "b" in two
    assert "b" not in empty
    assert sorted(two) == ["a", "b"]
    assert sorted(two.values()) == [1, 2]
    assert dict(two.items()) == {"a": 1, "b": 2}


def test_changes_leave_the_old_map_alone() -> None:
    one: FrozenMap[str, int] = FrozenMap[str, int]().with_changes({"a": 1})
    two = one.with_changes({"a": 2, "b": 3}, removed=["zzz"])
    three = two.with_changes({}, removed=["a"])
    assert dict(one.items()) == {"a": 1}
    assert dict(two.items()) == {"a": 2, "b": 3}
    assert dict(three.items()) == {"b": 3}


def test_a_key_removed_and_put_in_at_once_is_there() -> None:
    one: FrozenMap[str, int] = FrozenMap[str, int]().with_changes({"a": 1})
    assert dict(one.with_changes({"a": 2}, removed=["a"]).items()) == {"a": 2}


def test_equality_ignores_the_way_there() -> None:
    one: FrozenMap[bytes, int] = FrozenMap[bytes, int]().with_changes({b"a": 1, b"b": 2})
    two = FrozenMap[bytes, int]().with_changes({b"b": 2}).with_changes({b"a": 1, b"c": 3}, [b"x"])
    assert one != two
    assert one == two.with_changes({}, [b"c"])


def test_no_change_is_no_copy() -> None:
    one: FrozenMap[str, int] = FrozenMap[str, int]().with_changes({"a": 1})
    assert one.with_changes({}) is one


def test_one_more_of_ten_thousand_shares_the_others() -> None:
    many: FrozenMap[str, int] = FrozenMap[str, int]().with_changes(
        {f"topic-{number}": number for number in range(10_000)}
    )
    started = time.perf_counter()
    for number in range(100):
        many.with_changes({f"new-{number}": number})
    assert time.perf_counter() - started < 0.1  # 1 ms each would be 100 ms
    more = many.with_changes({"new": 1})
    shared = sum(a is b for a, b in zip(many._shards, more._shards, strict=True))
    assert shared == len(many._shards) - 1
