"""Entry point of the `tierbroker` command: the table of commands, and how every run ends."""

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from tierbroker.cli.exits import ExitCode
from tierbroker.cli.lazy_group import LazyCommand, LazyGroup

COMMANDS = {
    "dev": LazyCommand(
        "tierbroker.cli.broker_commands", "dev", "Start a broker for development, right here."
    ),
    "serve": LazyCommand(
        "tierbroker.cli.broker_commands", "serve", "Start a broker from a configuration file."
    ),
    "produce": LazyCommand(
        "tierbroker.cli.produce", "produce", "Send values, or the lines of standard input."
    ),
    "consume": LazyCommand("tierbroker.cli.consume", "consume", "Read the records of a topic."),
    "topic": LazyCommand("tierbroker.cli.topic", "topic", "List, make, show and remove topics."),
    "group": LazyCommand("tierbroker.cli.group", "group", "List, show and remove consumer groups."),
    "transaction": LazyCommand(
        "tierbroker.cli.transaction", "transaction", "List, show and abort transactions."
    ),
    "tier": LazyCommand("tierbroker.cli.tier", "tier", "Look at the cold tier and its store."),
    "archive": LazyCommand(
        "tierbroker.cli.archive", "archive", "Read an object store with no broker running."
    ),
    "restore": LazyCommand(
        "tierbroker.cli.restore", "restore", "Bring a cluster back from its object store."
    ),
    "log": LazyCommand("tierbroker.cli.log", "log", "Look at the logs on this machine's disks."),
    "apis": LazyCommand(
        "tierbroker.cli.apis", "apis", "List the Kafka APIs and versions that a broker answers."
    ),
    "version": LazyCommand("tierbroker.cli.version", "version", "Show the version."),
}


class RootGroup(LazyGroup):
    """The command itself. It ends quietly when the reader of its output has seen enough."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # Point the descriptor elsewhere, or the interpreter's last flush complains.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return ExitCode.OK
        return result


@click.group(
    cls=RootGroup,
    commands_table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
def cli() -> None:
    """A Kafka-compatible broker and the commands to use it.

    \b
    Examples:
      tierbroker dev                                 start a broker on 127.0.0.1:9092
      tierbroker produce hello "first message"       send a record
      tierbroker consume hello --from start --exit   read the topic to its end

    Client commands work with any Kafka broker; -b or TIERBROKER_BOOTSTRAP names it.
    Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 broker unreachable.
    """


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code and never raises."""
    try:
        result = cli.main(args=list(arguments), prog_name="tierbroker", standalone_mode=False)
    except click.exceptions.Exit as exit_request:
        return exit_request.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return ExitCode.INTERRUPTED
    return result if isinstance(result, int) else ExitCode.OK


def main() -> None:
    """The console script."""
    code = run(sys.argv[1:])
    if "obstore" in sys.modules:
        # Its threads may be about to give references back. An interpreter that is being torn down
        # ends them in the middle of it, and then the whole process aborts: it is not torn down.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
