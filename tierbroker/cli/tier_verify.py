"""`tierbroker tier verify`. The work is `cli.tier_verify_run`."""

import click

from tierbroker.cli.archive import store_settings_option
from tierbroker.cli.options import json_option, progress_option


@click.command("verify")
@click.argument("url")
@click.argument("topic", required=False)
@click.option(
    "--sample",
    type=click.FloatRange(min=0, max=100),
    metavar="PERCENT",
    default=1.0,
    show_default=True,
    help="Read so many of the segments whole; all are asked for. The newest one of each "
    "partition is among them.",
)
@click.option("--all", "everything", is_flag=True, help="Read everything whole.")
@click.option(
    "--resume",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Keep the progress in this file, and go on from there if it exists.",
)
@store_settings_option
@json_option
@progress_option
def verify(
    *,
    url: str,
    topic: str | None,
    sample: float,
    everything: bool,
    resume: str | None,
    sets: tuple[tuple[str, str], ...],
    as_json: bool,
    no_progress: bool,
) -> None:
    """Check whether the store at URL holds what its latest checkpoint names: of TOPIC, or all.

    Every object has to be there with its size and checksum; those that are read whole are checked
    batch by batch: CRCs, offsets without gaps, leader epochs, indexes, and aborted transactions
    against the markers in the data. Says first how many requests and bytes that takes. A broker
    may be running; nothing is changed. Exit code 1 with a list of what is wrong.

    \b
    Examples:
      tierbroker tier verify s3://bucket/prefix
      tierbroker tier verify s3://bucket/prefix orders --all
      tierbroker tier verify s3://bucket/prefix --all --resume verify.json
    """
    from tierbroker.cli.tier_verify_run import VerifyOptions, run_verify

    share = 1.0 if everything else sample / 100
    run_verify(
        VerifyOptions(url, dict(sets), topic, share, resume, as_json, not no_progress),
    )
