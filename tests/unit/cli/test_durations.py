"""Spans of time, as people write them."""

import pytest

from tierbroker.cli.durations import duration_text, parse_duration


def test_spans() -> None:
    assert [parse_duration(text) for text in ("0s", "5ms", "90s", "30m", "24h", "7d")] == [
        0, 5, 90_000, 1_800_000, 86_400_000, 604_800_000,
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["5ms", "90s", "30m", "36h", "7d", "400d"])
def test_a_span_is_told_as_it_was_written(text: str) -> None:
    assert duration_text(parse_duration(text)) == text


@pytest.mark.parametrize("text", ["", "5", "s", "-5s", "1.5h", "1 week", "9999999999s"])
def test_everything_else_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="is no span of time such as 90s"):
        parse_duration(text)
