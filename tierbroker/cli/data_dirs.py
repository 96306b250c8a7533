"""Options of commands that read a data directory on this machine, and what they mean as settings.

Such commands work beside a running broker too, and change nothing.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from tierbroker.cli.broker_flags import DEFAULT_DATA
from tierbroker.cli.options import parse_key_value, parse_with

F = TypeVar("F", bound=Callable[..., Any])


def data_option(command: F) -> F:
    """--data, for the common case of one directory."""
    return click.option(
        "--data", metavar="DIR", help="The broker's data directory; ./data if not given."
    )(command)


def settings_options(command: F) -> F:
    """-c/--config and --set, as the broker was started with."""
    command = click.option(
        "--set",
        "sets",
        callback=parse_with(parse_key_value),
        metavar="KEY=VALUE",
        multiple=True,
        help="A setting that the broker was started with; repeatable.",
    )(command)
    return click.option("-c", "--config", metavar="TOML", help="The broker's configuration file.")(
        command
    )


def data_flags(
    data: str | None,
    config: str | None,
    sets: tuple[tuple[str, str], ...],
    env: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """Settings by Kafka's names that the options come to; they name the log directories."""
    flags = dict(sets)
    if data is not None:
        flags["log.dirs"] = data
    elif (
        config is None
        and not {"log.dirs", "log.dir"} & flags.keys()
        and not {"TIERBROKER_LOG_DIRS", "TIERBROKER_LOG_DIR"} & env.keys()
    ):
        flags["log.dirs"] = DEFAULT_DATA
    return flags
