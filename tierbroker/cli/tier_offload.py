"""`tierbroker tier offload`. The work is `cli.tier_offload_run`."""

import click

from tierbroker.cli.bootstrap import Bootstrap
from tierbroker.cli.durations import parse_duration
from tierbroker.cli.options import bootstrap_option, json_option, parse_with, progress_option


@click.command("offload")
@click.argument("topic")
@click.option("--evict", is_flag=True, help="Then free the broker's disk of it.")
@click.option("--wait", is_flag=True, help="Return when it is done; Ctrl-C gives it up.")
@click.option(
    "--timeout",
    "timeout_ms",
    callback=parse_with(parse_duration),
    metavar="TIME",
    help="With --wait: give it up after so long, e.g. 90s or 30m, say what is not there and why, "
    "and exit with 1.",
)
@progress_option
@json_option
@bootstrap_option
def offload(
    topic: str,
    *,
    evict: bool,
    wait: bool,
    timeout_ms: int | None,
    no_progress: bool,
    as_json: bool,
    bootstrap: Bootstrap,
) -> None:
    """Bring everything that TOPIC holds to the store now, whatever its settings let wait.

    Its open segments are closed. It is done when a checkpoint in the store names all of it, so that
    a restore from there would bring it back. Only on the broker's own machine.

    \b
    Examples:
      tierbroker tier offload clicks --wait
      tierbroker tier offload clicks --evict --wait --timeout 10m
    """
    if timeout_ms is not None and not wait:
        raise click.UsageError("--timeout is for --wait: without it, the command returns at once.")
    from tierbroker.cli.tier_offload_run import run_offload

    run_offload(
        bootstrap,
        topic,
        evict=evict,
        wait=wait,
        timeout_ms=timeout_ms,
        as_json=as_json,
        progress=not no_progress,
    )
