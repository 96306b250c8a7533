"""Input of produce: values, lines, keys."""

import io
import pathlib

import pytest

from tierbroker.cli.main import run
from tierbroker.cli.produce import LineInput, file_size, split_key


def lines_of(data: bytes, key: bytes | None = None, separator: bytes | None = None) -> list[object]:
    return list(LineInput(io.BytesIO(data), key, separator, None))


def test_lines_keep_every_byte_but_their_newline() -> None:
    assert lines_of(b"a\r\n\n\xff\x00b") == [(None, b"a\r"), (None, b""), (None, b"\xff\x00b")]


def test_no_input_is_no_record() -> None:
    assert lines_of(b"") == []


def test_a_fixed_key_goes_to_every_line() -> None:
    assert lines_of(b"a\nb\n", key=b"k") == [(b"k", b"a"), (b"k", b"b")]


def test_lines_are_split_at_the_first_separator() -> None:
    assert lines_of(b"k\tv\tw\nnone\n\tv\nk\t\n", separator=b"\t") == [
        (b"k", b"v\tw"),
        (None, b"none"),
        (b"", b"v"),
        (b"k", b""),
    ]
    assert split_key(b"a=>b", b"=>") == (b"a", b"b")


def test_bytes_are_counted_as_they_are_read() -> None:
    source = LineInput(io.BytesIO(b"ab\ncd\n"), None, None, 6)
    next(iter(source))
    assert source.read_bytes == 3


def test_size_of_input_is_known_for_files_only(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"12345")
    with path.open("rb") as stream:
        assert file_size(stream) == 5
    assert file_size(io.BytesIO(b"12345")) is None


@pytest.mark.parametrize(
    "arguments",
    [
        ["produce"],
        ["produce", "t", "v", "--codec", "rar"],
        ["produce", "t", "v", "--acks", "2"],
        ["produce", "t", "v", "--partition", "-1"],
        ["produce", "t", "v", "--header", "noequals"],
        ["produce", "t", "v", "--header", "=v"],
        ["produce", "t", "v", "--key-separator", ""],
        ["produce", "t", "v", "--key", "k", "--key-separator", ":"],
        ["produce", "t", "v", "-b", "host:port"],
    ],
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert "Error: " in capsys.readouterr().err
