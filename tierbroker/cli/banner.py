"""What `tierbroker dev` says when the broker is ready: where it is, what it promises, what to type.

Pure text from plain values, so that tests can run every line of it.
"""

import os
import shlex
import shutil
from collections.abc import Sequence

from tierbroker.cli.bootstrap import DEFAULT_BOOTSTRAP

TIERED = "remote.storage.enable=true"
DURABILITY = {
    "fsync": "fsync: a record is on disk before acks=all is answered or anybody reads it",
    "replicated": "replicated: a record is in memory of the in-sync replicas; the kernel "
    "writes it to disk later",
    "none": "none: records are lost when the machine stops, and nothing is synced to disk",
}


def command_path(argv0: str, executable: str, cwd: str) -> str:
    """How to call this very `tierbroker` again, as short as it can be said in directory `cwd`."""
    if os.path.basename(argv0) == "__main__.py":
        return f"{_shorten(executable, cwd)} -m tierbroker"
    found = shutil.which("tierbroker")
    if found is not None and os.path.realpath(found) == os.path.realpath(argv0):
        return "tierbroker"
    return _shorten(os.path.abspath(argv0), cwd)


def _shorten(path: str, cwd: str) -> str:
    relative = os.path.relpath(path, cwd)
    return shlex.quote(path if relative.startswith("..") else relative)


def ready_text(
    *,
    bootstrap: str,
    data_dirs: Sequence[str],
    keeps_data: bool,
    flush_mode: str,
    ready_ms: int,
    command: str,
    http_url: str | None = None,
    cold_url: str | None = None,
) -> str:
    """The whole announcement, with a newline at its end."""
    folder = ", ".join(os.path.abspath(path) for path in data_dirs)
    if not keeps_data:
        folder += "  (removed at exit)"
    option = "" if bootstrap == DEFAULT_BOOTSTRAP else f" -b {bootstrap}"
    page = "" if http_url is None else f"  Metrics     {http_url}/metrics\n"
    cold = "" if not cold_url else f"  Cold tier   {cold_url}  (topics with {TIERED})\n"
    return f"""\
tierbroker is ready after {ready_ms} ms; Ctrl-C stops it.

  Address     {bootstrap}
  Data        {folder}
  Durability  {DURABILITY.get(flush_mode, flush_mode)}
{cold}{page}
In another terminal:

  {command} produce hello "first message"{option}
  {command} consume hello --from start --exit{option}

Or in Python, with kafka-python:

  from kafka import KafkaProducer
  producer = KafkaProducer(bootstrap_servers="{bootstrap}")
  producer.send("hello", b"from Python").get(timeout=10)
"""
