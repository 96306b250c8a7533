"""Errors that travel: their message, and which of them a client may try again."""

import inspect

import pytest

from tierbroker.base import errors
from tierbroker.base.errors import MESSAGE_LENGTH_MAX, ApiError, InvalidRecordError

KINDS = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, ApiError)
]


@pytest.mark.parametrize("kind", KINDS)
def test_each_keeps_its_message(kind: type[ApiError]) -> None:
    error = kind("what happened")
    assert (error.message, str(error)) == ("what happened", "what happened")


@pytest.mark.parametrize("character", ["x", "ü", "😀"])
def test_a_message_that_quotes_too_much_is_cut(character: str) -> None:
    error = ApiError(f"{character * 40_000} is not a topic")
    assert len(error.message) == MESSAGE_LENGTH_MAX
    assert error.message.startswith(character * 100)
    assert error.message.endswith("…")
    # A string on the wire has at most 32,767 bytes.
    assert len(error.message.encode()) < 32_767
    assert str(error) == error.message


def test_a_message_of_the_greatest_length_is_left_alone() -> None:
    assert ApiError("x" * MESSAGE_LENGTH_MAX).message == "x" * MESSAGE_LENGTH_MAX


def test_records_that_were_refused_are_named_one_by_one() -> None:
    assert InvalidRecordError("two", ((0, "a"), (3, "b"))).record_errors == ((0, "a"), (3, "b"))
    assert not InvalidRecordError("none").record_errors
