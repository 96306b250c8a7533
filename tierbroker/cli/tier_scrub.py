"""`tierbroker tier scrub`. The work is `cli.tier_scrub_run`."""

import click

from tierbroker.cli.archive import store_settings_option
from tierbroker.cli.durations import parse_duration
from tierbroker.cli.options import json_option, parse_with


@click.command("scrub")
@click.argument("url")
@click.option("--delete", "delete", is_flag=True, help="Delete what is found.")
@click.option(
    "--older-than",
    "older_than_ms",
    callback=parse_with(parse_duration),
    metavar="AGE",
    default="24h",
    show_default=True,
    help="Leave alone what was written since.",
)
@click.option(
    "--earlier-incarnations",
    is_flag=True,
    help="Also what a host left that was replaced by a restore; only when it is gone for good.",
)
@store_settings_option
@json_option
def scrub(
    *,
    url: str,
    delete: bool,
    older_than_ms: int,
    earlier_incarnations: bool,
    sets: tuple[tuple[str, str], ...],
    as_json: bool,
) -> None:
    """List objects in the store at URL that the cluster does not know, or delete them.

    Uploads that were given up and deletions that got lost leave objects behind. They are told by
    the store's latest checkpoint alone; a broker may be running, and what is newer than the
    checkpoint is left alone, as is all that the broker itself is going to delete. Lists the whole
    bucket below the cluster's name. Unfinished uploads are shown too, where the store lists them.

    \b
    Examples:
      tierbroker tier scrub s3://bucket/prefix
      tierbroker tier scrub s3://bucket/prefix --delete
      tierbroker tier scrub file:///mnt/cold --older-than 1h --json
    """
    from tierbroker.cli.tier_scrub_run import run_scrub

    run_scrub(
        url,
        dict(sets),
        delete=delete,
        older_than_ms=older_than_ms,
        earlier_incarnations=earlier_incarnations,
        as_json=as_json,
    )
