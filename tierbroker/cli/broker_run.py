"""Running a broker in this process for `dev` and `serve`."""

import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from types import TracebackType

import click

from tierbroker.base.errors import DataDirError, InvalidConfigError, ListenError
from tierbroker.base.fs import OsFileSystem, write_atomically
from tierbroker.cli.banner import command_path, ready_text
from tierbroker.cli.exits import CommandFailedError
from tierbroker.node.main import run
from tierbroker.node.node import Node
from tierbroker.node.settings import Settings

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

Announce = Callable[[Node], None]


class EphemeralDir:
    """A temporary data directory, removed with all that is in it; or None if it is not wanted."""

    def __init__(self, *, wanted: bool) -> None:
        self._path = tempfile.mkdtemp(prefix="tierbroker-") if wanted else None

    def __enter__(self) -> str | None:
        return self._path

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._path is not None:
            shutil.rmtree(self._path, ignore_errors=True)


def run_broker(
    flags: Mapping[str, str], config: str | None, ready_file: str | None, announce: Announce
) -> int:
    """Run a broker until it is told to stop; returns the exit code.

    Raises CommandFailedError for what a person must put right.
    """
    logging.basicConfig(level=logging.WARNING, format=LOG_FORMAT)

    def on_ready(node: Node) -> None:
        if ready_file is not None:
            write_ready_file(ready_file, node.bootstrap, node.ready_ms)
        announce(node)

    try:
        return run(Settings.load(flags, os.environ, config), on_ready, show_progress)
    except (DataDirError, InvalidConfigError, ListenError) as error:
        raise CommandFailedError(str(error)) from error


def show_progress(done: int, total: int) -> None:
    """One line a second while a start takes long; partitions that are open are served already."""
    click.echo(f"{done} of {total} partitions are open", err=True)


def write_ready_file(path: str, bootstrap: str, ready_ms: int) -> None:
    """Say to whoever waits for the file that clients can connect."""
    content = {"bootstrap": bootstrap, "pid": os.getpid(), "ready_ms": ready_ms}
    data = json.dumps(content).encode() + b"\n"
    write_atomically(OsFileSystem(), os.path.abspath(path), data)


def announce_dev(*, keeps_data: bool) -> Announce:
    """Prints the banner of `dev`."""

    def announce(node: Node) -> None:
        click.echo(
            ready_text(
                bootstrap=node.bootstrap,
                data_dirs=node.data_dirs,
                keeps_data=keeps_data,
                flush_mode=node.flush_mode,
                ready_ms=node.ready_ms,
                http_url=node.http_url,
                cold_url=node.settings.values.text("cold.url"),
                command=command_path(sys.argv[0], sys.executable, os.getcwd()),
            ),
            nl=False,
        )
        sys.stdout.flush()

    return announce


def announce_serve(node: Node) -> None:
    """Prints one line."""
    http = "" if node.http_url is None else f", metrics at {node.http_url}/metrics"
    click.echo(f"tierbroker is ready on {node.bootstrap} after {node.ready_ms} ms{http}")
    sys.stdout.flush()
