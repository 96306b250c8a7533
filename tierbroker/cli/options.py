"""Options that several commands share, so that they mean the same everywhere."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from tierbroker.cli.bootstrap import DEFAULT_BOOTSTRAP, Bootstrap

BOOTSTRAP_VARIABLE = "TIERBROKER_BOOTSTRAP"

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def parse_with(parse: Callable[[str], T]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A click callback: parses the value, or each of several; a ValueError is wrong usage."""

    def callback(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        try:
            if isinstance(value, tuple):
                return tuple(parse(item) for item in value)
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from error

    return callback


def parse_key_value(text: str) -> tuple[str, str]:
    """KEY=VALUE; the value may be empty and may contain further equals signs."""
    key, equals, rest = text.partition("=")
    if not equals or not key.strip():
        raise ValueError(f"{text!r} is not KEY=VALUE")
    return key.strip(), rest


def bootstrap_option(command: F) -> F:
    """-b/--bootstrap, also from the environment."""
    return click.option(
        "-b",
        "--bootstrap",
        callback=parse_with(Bootstrap.parse),
        metavar="HOST:PORT",
        default=DEFAULT_BOOTSTRAP,
        envvar=BOOTSTRAP_VARIABLE,
        show_default=True,
        show_envvar=True,
        help="Address of the broker; several, separated by commas.",
    )(command)


def json_option(command: F) -> F:
    """--json: one JSON object per line."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")(
        command
    )


def progress_option(command: F) -> F:
    """--no-progress: no bar, even on a terminal."""
    return click.option(
        "--no-progress", is_flag=True, help="Show no progress bar, even on a terminal."
    )(command)
