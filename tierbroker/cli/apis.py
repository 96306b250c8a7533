"""`tierbroker apis`: what this version answers, or what a running broker says that it answers."""

import click

from tierbroker.cli.bootstrap import Bootstrap
from tierbroker.cli.options import BOOTSTRAP_VARIABLE, json_option, parse_with
from tierbroker.cli.output import Column, print_rows

COLUMNS = (
    Column("key", "Key", numeric=True),
    Column("api", "API"),
    Column("min_version", "From version", numeric=True),
    Column("max_version", "To version", numeric=True),
)


@click.command()
@click.option(
    "-b",
    "--bootstrap",
    callback=parse_with(Bootstrap.parse),
    metavar="HOST:PORT",
    envvar=BOOTSTRAP_VARIABLE,
    show_envvar=True,
    help="Ask this broker; without it, show what this version of tierbroker answers.",
)
@json_option
def apis(bootstrap: Bootstrap | None, as_json: bool) -> None:
    """List the Kafka APIs and the versions of each that a broker answers.

    \b
    Examples:
      tierbroker apis
      tierbroker apis -b broker.example.com:9092
    """
    from tierbroker.cli import apis_run

    ranges = apis_run.registered() if bootstrap is None else apis_run.ask(bootstrap)
    print_rows(COLUMNS, ranges, as_json=as_json)
