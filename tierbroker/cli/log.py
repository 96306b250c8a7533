"""`tierbroker log`: what the logs on this machine's disks are like. The work is `cli.log_run`."""

import click

from tierbroker.cli.data_dirs import data_flags, data_option, settings_options
from tierbroker.cli.lazy_group import LazyCommand, LazyGroup
from tierbroker.cli.options import json_option


@click.command("damage")
@data_option
@settings_options
@json_option
def damage(
    data: str | None, config: str | None, sets: tuple[tuple[str, str], ...], as_json: bool
) -> None:
    """List the regions of logs that the broker found damaged on disk, and what to do about each.

    The offsets of a region answer KAFKA_STORAGE_ERROR, all others are served. Reads the notes in
    the data directory on this machine, beside a running broker too, and changes nothing; it is the
    broker's scrub that looks for damage. Exit code 1 if there is any.

    \b
    Examples:
      tierbroker log damage
      tierbroker log damage --data /var/tmp/kafka --json
      tierbroker log damage --config /etc/tierbroker.toml
    """
    from tierbroker.cli.log_run import list_damage

    list_damage(data_flags(data, config, sets), config, as_json=as_json)


_MODULE = "tierbroker.cli.log"


@click.group(
    cls=LazyGroup,
    commands_table={
        "damage": LazyCommand(_MODULE, "damage", "List what is damaged on disk."),
    },
)
def log() -> None:
    """Look at the logs on this machine's disks.

    \b
    Examples:
      tierbroker log damage
      tierbroker log damage --data /var/tmp/kafka
    """
