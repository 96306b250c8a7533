"""`tierbroker tier status`. The work is `cli.tier_status_run`."""

import click

from tierbroker.cli.bootstrap import Bootstrap
from tierbroker.cli.options import bootstrap_option, json_option


@click.command("status")
@click.argument("topic", required=False)
@json_option
@bootstrap_option
def status(topic: str | None, as_json: bool, bootstrap: Bootstrap) -> None:
    """Show the store's health and, of every tiered topic, what is there and what is not yet.

    HOT is on the broker's disk, COLD in the store; what is in both counts twice. LAG is closed and
    not in the store yet; WAITS how old the newest record of the oldest such segment is; REQUESTS
    were made for the topic since the broker's start. With TOPIC, its partitions one by one. The
    store's state goes to standard error, rows to standard output.

    \b
    Examples:
      tierbroker tier status
      tierbroker tier status clicks
      tierbroker tier status --json
    """
    from tierbroker.cli.tier_status_run import run_status

    run_status(bootstrap, topic, as_json=as_json)
