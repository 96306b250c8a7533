"""Text checkpoints."""

import pytest

from tierbroker.records import text_checkpoint
from tierbroker.records.errors import CorruptCheckpointError

OFFSETS = [("orders", 0, 12), ("orders", 11, 2**62), ("__consumer_offsets", 3, 0)]


def test_the_text() -> None:
    assert text_checkpoint.encode(OFFSETS[:1]) == b"0\n1\norders 0 12\n"
    assert text_checkpoint.encode([]) == b"0\n0\n"


@pytest.mark.parametrize("offsets", [[], OFFSETS])
def test_round_trip(offsets: list[tuple[str, int, int]]) -> None:
    assert text_checkpoint.decode(text_checkpoint.encode(offsets)) == offsets


def test_a_file_without_a_last_line_end_is_whole() -> None:
    assert text_checkpoint.decode(b"0\n1\norders 0 12") == OFFSETS[:1]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"0\n",
        b"x\n0\n",
        b"1\n0\n",
        b"0\n-1\n",
        b"0\n2\norders 0 12\n",
        b"0\n0\norders 0 12\n",
        b"0\n1\norders 0\n",
        b"0\n1\norders 0 12 13\n",
        b"0\n1\norders 0 \n",
        b"0\n1\norders 0 1e3\n",
        b"0\n1\norders 0 1_0\n",
        "0\n1\norders 0 ١\n".encode(),
        b"0\n1\norders 0 " + b"9" * 5_000 + b"\n",
        b"0\n1\n\xff 0 12\n",
        bytes(40),
    ],
)
def test_damage(data: bytes) -> None:
    with pytest.raises(CorruptCheckpointError):
        text_checkpoint.decode(data)
