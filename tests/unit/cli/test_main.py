"""The command as a whole: help, laziness, exit codes."""

import resource
import subprocess
import sys

import click
import pytest

from tierbroker.cli.lazy_group import LazyGroup
from tierbroker.cli.main import COMMANDS, cli, run
from tierbroker.cli.tier import COMMANDS as TIER_COMMANDS

HEAVY = ("confluent_kafka", "rich", "asyncio", "uvloop", "tierbroker.node", "tierbroker.broker")
HELP_BUDGET_S = 0.15
TOPIC_COMMANDS = ("ls", "new", "show", "why", "rm")
LOG_COMMANDS = ("damage",)
GROUP_COMMANDS = ("ls", "show", "rm")
ALL_COMMANDS = [
    *([name] for name in COMMANDS),
    *(["topic", name] for name in TOPIC_COMMANDS),
    *(["group", name] for name in GROUP_COMMANDS),
    *(["log", name] for name in LOG_COMMANDS),
    *(["tier", name] for name in TIER_COMMANDS),
]


@pytest.mark.parametrize("command", ALL_COMMANDS, ids=" ".join)
def test_help_has_an_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command, "--help"]) == 0
    shown = capsys.readouterr().out
    # On a line of its own: a paragraph that click has wrapped cannot be pasted.
    assert f"\n    tierbroker {' '.join(command)}" in shown
    assert "\n  Example" in shown
    assert "\\b" not in shown


@pytest.mark.parametrize("command", [[], *ALL_COMMANDS], ids=" ".join)
def test_help_loads_nothing_heavy(command: list[str]) -> None:
    script = (
        "import sys; from tierbroker.cli.main import run; "
        f"run({[*command, '--help']!r}); "
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("command", [[], ["consume"], ["topic", "new"]], ids=" ".join)
def test_help_is_instant(command: list[str]) -> None:
    """In processor time, which a busy machine does not stretch as it does the clock on the wall."""
    arguments = [sys.executable, "-m", "tierbroker", *command, "--help"]
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(arguments, stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spent) < HELP_BUDGET_S


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    for name, entry in COMMANDS.items():
        assert name in shown
        assert entry.summary in " ".join(shown.split())


def test_every_command_is_where_the_table_says() -> None:
    context = click.Context(cli)
    assert isinstance(cli, LazyGroup)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        assert command.name == name


@pytest.mark.parametrize("mistyped", ["prodce", "topics"])
def test_a_mistyped_command_names_the_near_one(
    mistyped: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([mistyped]) == 2
    assert "Did you mean" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["topic", "nonsense"],
        ["topic", "new"],
        ["topic", "new", "t", "--partitions", "0"],
        ["topic", "new", "t", "--config", "x"],
        ["dev", "--port", "65536"],
        ["dev", "--set", "x"],
        ["dev", "--ephemeral", "--data", "d"],
        ["consume", "t", "--from", "yesterday"],
        ["consume", "t", "-n", "0"],
        ["consume", "t", "--json", "--key-separator", ":"],
        ["consume", "t", "--group", ""],
        ["consume", "t", "--group", "g", "--partition", "0"],
        ["consume", "t", "--group", "g", "--from", "@-1h"],
        ["group", "show"],
        ["topic", "ls", "-b", ""],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert capsys.readouterr().err


def test_ready_file_in_no_directory_fails_before_anything_starts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["dev", "--ready-file", "/nowhere/at/all/ready.json"]) == 1
    assert "mkdir -p /nowhere/at/all" in capsys.readouterr().err


def test_the_interpreter_is_not_torn_down_under_the_threads_of_obstore() -> None:
    """What was printed is there all the same, and the exit code is the command's."""
    script = (
        "import atexit, sys, obstore; from tierbroker.cli.main import main; "
        "atexit.register(print, 'torn down'); sys.argv = ['tierbroker', *sys.argv[1:]]; main()"
    )
    for arguments, code in ((["version"], 0), (["nonsense"], 2)):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == code
        assert "torn down" not in done.stdout
        assert done.stdout if code == 0 else done.stderr
