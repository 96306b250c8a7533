"""`.kafka_cleanshutdown`: the note that every log of a directory was closed in order.

Its presence is the message; it is taken away before anything is opened, so that a crash while
starting counts as a crash (Kafka: CleanShutdownFileHandler, KAFKA-10471).
"""

import json
import logging
import os
from dataclasses import dataclass

from tierbroker.base.fs import FileSystem, write_atomically

CLEAN_SHUTDOWN_FILE = ".kafka_cleanshutdown"
NO_BROKER_EPOCH = -1
_VERSION = 0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PreviousShutdown:
    """How the last owner of the directory ended."""

    clean: bool
    broker_epoch: int
    """The broker epoch it had then; -1 when unknown."""


def read_clean_shutdown(fs: FileSystem, directory: str) -> PreviousShutdown:
    """Read the note and leave it; raises OSError."""
    path = os.path.join(directory, CLEAN_SHUTDOWN_FILE)
    if not fs.exists(path):
        return PreviousShutdown(clean=False, broker_epoch=NO_BROKER_EPOCH)
    return PreviousShutdown(clean=True, broker_epoch=_broker_epoch(fs.read_file(path), path))


def take_clean_shutdown(fs: FileSystem, directory: str) -> PreviousShutdown:
    """Read the note and remove it durably; raises OSError."""
    previous = read_clean_shutdown(fs, directory)
    if previous.clean:
        fs.unlink(os.path.join(directory, CLEAN_SHUTDOWN_FILE))
        fs.fsync_dir(directory)
    return previous


def write_clean_shutdown(fs: FileSystem, directory: str, broker_epoch: int) -> None:
    """Leave the note, after everything else is durable; raises OSError."""
    note = {"version": _VERSION, "brokerEpoch": broker_epoch}
    data = json.dumps(note, separators=(",", ":")).encode()
    write_atomically(fs, os.path.join(directory, CLEAN_SHUTDOWN_FILE), data)


def _broker_epoch(data: bytes, path: str) -> int:
    """The epoch in the note. Older Kafka versions left an empty file: that is no fault."""
    try:
        note = json.loads(data) if data else {}
        epoch = note.get("brokerEpoch", NO_BROKER_EPOCH) if isinstance(note, dict) else None
    except ValueError:
        epoch = None
    if not isinstance(epoch, int):
        logger.warning("%s has no readable broker epoch; going on without it", path)
        return NO_BROKER_EPOCH
    return epoch
