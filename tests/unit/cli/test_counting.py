"""One of something is not several."""

from tierbroker.cli.counting import counted, enumerated, verb


def test_one_and_several() -> None:
    assert [counted(count, "object") for count in (0, 1, 2, 1000)] == [
        "0 objects",
        "1 object",
        "2 objects",
        "1,000 objects",
    ]
    assert [verb(count, "is", "are") for count in (0, 1, 2)] == ["are", "is", "are"]
    assert [counted(count, "entry", "entries") for count in (1, 2)] == ["1 entry", "2 entries"]


def test_the_last_one_comes_after_and() -> None:
    assert [enumerated("abc"[:count]) for count in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
