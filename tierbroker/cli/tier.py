"""`tierbroker tier`: the cold tier, its store and what is in there. Each command has its module."""

import click

from tierbroker.cli.lazy_group import LazyCommand, LazyGroup

COMMANDS = {
    "status": LazyCommand(
        "tierbroker.cli.tier_status", "status", "Show what is in the store, and what waits and why."
    ),
    "offload": LazyCommand(
        "tierbroker.cli.tier_offload", "offload", "Bring a topic to the store now."
    ),
    "check": LazyCommand(
        "tierbroker.cli.tier_check", "check", "Try out whether a store is good for it."
    ),
    "verify": LazyCommand(
        "tierbroker.cli.tier_verify", "verify", "Check what lies in a store, byte by byte."
    ),
    "scrub": LazyCommand(
        "tierbroker.cli.tier_scrub", "scrub", "List or delete what nothing in a store names."
    ),
}


@click.group(cls=LazyGroup, commands_table=COMMANDS)
def tier() -> None:
    """Look at the cold tier: whether a store is good for it, and what is kept there.

    \b
    Examples:
      tierbroker tier status
      tierbroker tier offload clicks --wait
      tierbroker tier check s3://bucket/prefix
      tierbroker tier verify s3://bucket/prefix --all
    """
