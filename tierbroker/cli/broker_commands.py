"""`tierbroker dev` and `tierbroker serve`. Running the broker is `cli.broker_run`."""

import os

import click

from tierbroker.cli.broker_flags import dev_flags
from tierbroker.cli.exits import CommandFailedError
from tierbroker.cli.options import parse_key_value, parse_with

_set_option = click.option(
    "--set",
    "sets",
    multiple=True,
    callback=parse_with(parse_key_value),
    metavar="KEY=VALUE",
    help="A broker setting by Kafka's name; repeatable.",
)
_ready_file_option = click.option(
    "--ready-file",
    metavar="PATH",
    help='Written once clients can connect: {"bootstrap": "host:port", "pid": N, "ready_ms": N}.',
)


@click.command()
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Port to listen on; 0 takes any free one.  [default: 9092]",
)
@click.option("--data", metavar="DIR", help="Data directory, made if need be.  [default: ./data]")
@click.option(
    "--ephemeral",
    is_flag=True,
    help="Keep nothing: a temporary directory, removed at exit, and no waiting for the disk.",
)
@click.option(
    "--cold",
    metavar="URL",
    help="Object store of tiered topics: s3://bucket/prefix, file:///dir, memory://.  "
    "[default: a directory beside the data, ./data-cold]",
)
@_set_option
@_ready_file_option
def dev(
    *,
    host: str | None,
    port: int | None,
    data: str | None,
    ephemeral: bool,
    cold: str | None,
    sets: tuple[tuple[str, str], ...],
    ready_file: str | None,
) -> int:
    """Start a broker for development, and say how to use it. Ctrl-C stops it.

    Settings come from these options, then the environment (TIERBROKER_LOG_RETENTION_MS for
    log.retention.ms), then defaults.

    \b
    Examples:
      tierbroker dev
      tierbroker dev --port 0 --ephemeral --ready-file ready.json
      tierbroker dev --data /var/tmp/kafka --set log.retention.ms=3600000
      tierbroker dev --cold s3://bucket/prefix
    """
    if ephemeral and data is not None:
        raise click.UsageError("--ephemeral and --data exclude each other.")
    _prepare_ready_file(ready_file)
    from tierbroker.cli.broker_run import EphemeralDir, announce_dev, run_broker

    with EphemeralDir(wanted=ephemeral) as ephemeral_dir:
        flags = dev_flags(
            host=host,
            port=port,
            data=data,
            ephemeral_dir=ephemeral_dir,
            cold=cold,
            sets=sets,
            env=os.environ,
        )
        announce = announce_dev(keeps_data=not ephemeral)
        return run_broker(flags, None, ready_file, announce)


@click.command()
@click.option("-c", "--config", metavar="TOML", help="Configuration file.")
@_set_option
@_ready_file_option
def serve(*, config: str | None, sets: tuple[tuple[str, str], ...], ready_file: str | None) -> int:
    """Start a broker from a configuration file.

    Settings come from --set, then the environment (TIERBROKER_LOG_RETENTION_MS for
    log.retention.ms), then the file, then defaults. SIGTERM stops it in order.

    \b
    Examples:
      tierbroker serve --config /etc/tierbroker.toml
      tierbroker serve --set log.dirs=/data --set listeners=PLAINTEXT://:9092
    """
    _prepare_ready_file(ready_file)
    from tierbroker.cli.broker_run import announce_serve, run_broker

    return run_broker(dict(sets), config, ready_file, announce_serve)


def _prepare_ready_file(path: str | None) -> None:
    """Remove the file of an earlier run; raises CommandFailedError if none can be written there."""
    if path is None:
        return
    directory = os.path.dirname(os.path.abspath(path))
    if not os.access(directory, os.W_OK | os.X_OK) or os.path.isdir(path):
        raise CommandFailedError(
            f"Cannot write the ready file {path}: its directory does not exist or is read-only.\n"
            f"Make it with: mkdir -p {directory}"
        )
    if os.path.exists(path):
        os.unlink(path)
