"""`tierbroker tier check`. The work is `cli.tier_check_run`."""

import click

from tierbroker.cli.options import json_option, parse_key_value, parse_with


@click.command("check")
@click.argument("url")
@click.option(
    "--data",
    metavar="DIR",
    help="Data directory of the broker: says whether file:// lies on the same disk.",
)
@click.option(
    "--set",
    "sets",
    multiple=True,
    callback=parse_with(parse_key_value),
    metavar="KEY=VALUE",
    help="A setting by its name, e.g. cold.s3.endpoint or cold.s3.profile; repeatable.",
)
@json_option
def check(url: str, data: str | None, sets: tuple[tuple[str, str], ...], as_json: bool) -> None:
    """Try out whether the store at URL is good for the cold tier, and say what follows.

    Writes a few small objects and removes them. Keys come from --set, the environment or an AWS
    profile, as for a broker. Exit code 1 when something is missing that the broker needs.

    \b
    Examples:
      tierbroker tier check s3://bucket/prefix
      tierbroker tier check s3://bucket/prefix --set cold.s3.endpoint=http://127.0.0.1:9000
      tierbroker tier check file:///mnt/cold --data ./data --json
    """
    from tierbroker.cli.tier_check_run import run_check

    run_check(url, data, dict(sets), as_json=as_json)
