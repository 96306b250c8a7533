"""`tierbroker restore`. Restoring is `node.restoring`."""

import click

from tierbroker.cli.options import json_option, parse_key_value, parse_with


@click.command()
@click.option(
    "--from",
    "url",
    required=True,
    metavar="URL",
    help="The object store that holds the cluster: s3://bucket/prefix or file:///dir.",
)
@click.option("--data", required=True, metavar="DIR", help="Data directory to make; must be empty.")
@click.option(
    "--set",
    "sets",
    multiple=True,
    callback=parse_with(parse_key_value),
    metavar="KEY=VALUE",
    help="A setting by its name, e.g. cold.s3.endpoint or node.id; repeatable.",
)
@click.option(
    "--checkpoint",
    type=click.IntRange(min=0),
    metavar="NUMBER",
    help="Take this one, although it is not the newest: only where the newest cannot be read, "
    "and as the error then says.",
)
@json_option
def restore(
    *,
    url: str,
    data: str,
    sets: tuple[tuple[str, str], ...],
    checkpoint: int | None,
    as_json: bool,
) -> None:
    """Bring a cluster back from its object store, on an empty disk.

    Topics, settings, group offsets and all records in the store come back, as of the latest
    checkpoint; the host that was lost must not be started again. Prints for each partition the
    last offset that came back, its time, and how many offsets only the lost disk had.

    Where the newest checkpoint is damaged or gone, nothing is done; the error says which older one
    could be taken, what is lost by that, and how to agree to it.

    \b
    Examples:
      tierbroker restore --from s3://bucket/prefix --data ./data
      tierbroker restore --from file:///mnt/cold --data /var/lib/tierbroker --json
    """
    from tierbroker.cli.restore_run import run_restore

    run_restore(url, data, dict(sets), checkpoint, as_json=as_json)
