"""Options that several commands share, so that they mean the same everywhere."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from tierbroker.cli.bootstrap import DEFAULT_BOOTSTRAP, Bootstrap, InvalidBootstrapError

BOOTSTRAP_VARIABLE = "TIERBROKER_BOOTSTRAP"

F = TypeVar("F", bound=Callable[..., Any])


class BootstrapType(click.ParamType):
    """HOST[:PORT], several of them separated by commas."""

    name = "HOST:PORT"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Bootstrap:
        if isinstance(value, Bootstrap):
            return value
        try:
            return Bootstrap.parse(value)
        except InvalidBootstrapError as error:
            self.fail(str(error), param, ctx)


class KeyValueType(click.ParamType):
    """KEY=VALUE; the value may be empty and may contain further equals signs."""

    name = "KEY=VALUE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        key, equals, rest = value.partition("=")
        if not equals or not key.strip():
            self.fail(f"{value!r} is not KEY=VALUE", param, ctx)
        return key.strip(), rest


def bootstrap_option(command: F) -> F:
    """-b/--bootstrap, also from the environment."""
    return click.option(
        "-b",
        "--bootstrap",
        type=BootstrapType(),
        default=DEFAULT_BOOTSTRAP,
        envvar=BOOTSTRAP_VARIABLE,
        show_default=True,
        show_envvar=True,
        help="Address of the broker; several, separated by commas.",
    )(command)


def json_option(command: F) -> F:
    """--json: one JSON object per line."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON object per line."
    )(command)


def progress_option(command: F) -> F:
    """--no-progress: no bar, even on a terminal."""
    return click.option(
        "--no-progress", is_flag=True, help="Show no progress bar, even on a terminal."
    )(command)
