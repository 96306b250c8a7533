import pytest

from tierbroker.cli.sizes import size_text, span_text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (12 << 30, "12.0 GiB"),
        (3 << 50, "3.0 PiB"),
        (1 << 62, "4096.0 PiB"),
    ],
)
def test_sizes(size_bytes: int, text: str) -> None:
    assert size_text(size_bytes) == text


@pytest.mark.parametrize(
    ("span_ms", "text"),
    [
        (0, "0.0 s"),
        (400, "0.4 s"),
        (59_000, "59 s"),
        (720_000, "12 min"),
        (12_600_000, "3.5 h"),
        (172_800_000, "2.0 days"),
    ],
)
def test_spans(span_ms: int, text: str) -> None:
    assert span_text(span_ms) == text
