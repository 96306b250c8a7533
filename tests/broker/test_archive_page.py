"""Every block of docs/archive.md is run, against a golden store in place of the bucket."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tierbroker.cli.main import run

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall((ROOT / "docs" / "archive.md").read_text())
COMMANDS = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{shutil.copytree(ROOT / 'tests' / 'golden' / 'cold', tmp_path / 'store')}"


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command(
    url: str,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    program, *arguments = shlex.split(command.replace("s3://bucket/prefix", url))
    assert program == "tierbroker"
    assert run(arguments) == 0
    capsys.readouterr()


def test_the_program(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = (block for kind, block in BLOCKS if kind == "python")
    exec(program.replace("s3://bucket/prefix", url), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "orders {0: (5, 67)}"
    assert len(lines) == 1 + 10
