"""The object stores. Each is loaded when it is opened: S3's library costs memory and time."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from tierbroker.base.clock import Clock
from tierbroker.base.config import ConfigValues
from tierbroker.base.errors import InvalidConfigError
from tierbroker.base.executor import Executor
from tierbroker.base.fs import FileSystem
from tierbroker.base.scheduler import Scheduler
from tierbroker.cold.config import S3Settings, TransferLimits, split_url
from tierbroker.cold.ports import ObjectStore


@dataclass(frozen=True, slots=True)
class StorePorts:
    """What a store needs of the process around it."""

    executor: Executor
    """Its own: a store that hangs holds these threads, and nobody else may wait for them."""
    fs: FileSystem
    clock: Clock
    scheduler: Scheduler


def open_store(
    url: str, values: ConfigValues, ports: StorePorts, env: Mapping[str, str] | None = None
) -> ObjectStore:
    """The store at `url`; asks it nothing yet. Raises InvalidConfigError.

    `env` is where AWS's variables are looked up, the process's own environment by default.
    """
    try:
        place = split_url(url)
    except ValueError as error:
        raise InvalidConfigError(f"cold.url: {error}") from error
    if place.scheme == "memory":
        from tierbroker.cold.stores.memory import MemoryStore

        return MemoryStore(ports.executor, ports.fs, ports.clock)
    if place.scheme == "file":
        from tierbroker.cold.stores.directory import DirectoryStore

        return DirectoryStore(place.place, ports.executor, ports.fs, ports.clock)
    settings = S3Settings.from_values(place, values, os.environ if env is None else env)
    from tierbroker.cold.stores.s3 import S3Store

    return S3Store(settings, TransferLimits.from_values(values), ports)
