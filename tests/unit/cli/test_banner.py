"""What dev says when it is ready."""

import os
import pathlib
import shlex

import pytest

from tierbroker.cli.banner import command_path, ready_text
from tierbroker.hot.config import FlushMode


def text(
    bootstrap: str = "127.0.0.1:9092",
    *,
    keeps_data: bool = True,
    mode: str = "fsync",
    http_url: str | None = None,
    cold_url: str | None = None,
) -> str:
    return ready_text(
        bootstrap=bootstrap,
        data_dirs=["./data"],
        keeps_data=keeps_data,
        flush_mode=mode,
        ready_ms=123,
        command=".venv/bin/tierbroker",
        http_url=http_url,
        cold_url=cold_url,
    )


def test_names_address_folder_promise_and_commands() -> None:
    shown = text()
    assert "127.0.0.1:9092" in shown
    assert os.path.abspath("data") in shown
    assert "fsync: " in shown
    assert "123 ms" in shown
    commands = [line for line in shown.splitlines() if line.startswith("  .venv/bin/tierbroker")]
    assert [shlex.split(line)[1] for line in commands] == ["produce", "consume"]
    assert "-b" not in shlex.split(commands[0])


def test_says_where_the_metrics_are() -> None:
    assert "http://127.0.0.1:9644/metrics" in text(http_url="http://127.0.0.1:9644")
    assert "metrics" not in text()


def test_says_where_the_cold_tier_is_and_for_which_topics() -> None:
    shown = text(cold_url="s3://bucket/prefix")
    assert "  Cold tier   s3://bucket/prefix  (topics with remote.storage.enable=true)\n" in shown
    assert "Cold tier" not in text()


def test_commands_name_an_unusual_address() -> None:
    commands = [line for line in text("127.0.0.1:4711").splitlines() if "bin/tierbroker" in line]
    assert all(shlex.split(line)[-2:] == ["-b", "127.0.0.1:4711"] for line in commands)


def test_the_python_snippet_is_three_lines_of_python() -> None:
    lines = text().splitlines()
    start = next(number for number, line in enumerate(lines) if "import KafkaProducer" in line)
    assert len(lines) == start + 3
    compile("\n".join(line.strip() for line in lines[start:]), "snippet", "exec")


@pytest.mark.parametrize("mode", [mode.value for mode in FlushMode])
def test_every_flush_mode_has_its_words(mode: str) -> None:
    assert f"Durability  {mode}: " in text(mode=mode)


def test_ephemeral_says_so() -> None:
    assert "removed at exit" in text(keeps_data=False)
    assert "removed at exit" not in text()


def test_command_is_said_as_it_can_be_typed(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    home = str(tmp_path)
    script = os.path.join(home, ".venv/bin/tierbroker")
    assert command_path(script, "python", home) == ".venv/bin/tierbroker"
    assert command_path(script, "python", "/somewhere/else") == script
    module = os.path.join(home, "tierbroker/__main__.py")
    python = os.path.join(home, "my env/bin/python")
    assert command_path(module, python, home) == "'my env/bin/python' -m tierbroker"


def test_command_on_the_path_needs_no_folder(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "tierbroker"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command_path(str(script), "python", "/") == "tierbroker"
