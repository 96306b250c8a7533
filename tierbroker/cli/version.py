"""`tierbroker version`."""

import platform

import click

import tierbroker
from tierbroker.cli.options import json_option
from tierbroker.cli.output import print_json


@click.command()
@json_option
def version(as_json: bool) -> None:
    """Show the version of tierbroker and of what it runs on.

    \b
    Example:
      tierbroker version
    """
    if as_json:
        print_json({"tierbroker": tierbroker.__version__, "python": platform.python_version()})
    else:
        click.echo(f"tierbroker {tierbroker.__version__} (Python {platform.python_version()})")
