"""A store opened for one piece of work, by a tool and not by a broker."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from tierbroker.base.clock import SystemClock
from tierbroker.base.executor import ThreadExecutor
from tierbroker.base.fs import OsFileSystem
from tierbroker.base.story import Story, tell
from tierbroker.cold.ports import ObjectStore
from tierbroker.cold.stores import StorePorts, open_store
from tierbroker.node.settings import Settings

T = TypeVar("T")


def run_with_store(
    url: str,
    flags: Mapping[str, str],
    env: Mapping[str, str],
    work: Callable[[ObjectStore], Story[T]],
) -> T:
    """Open the store, tell the story of `work` to its end, close the store.

    Credentials and the like come from `flags` and the environment, as a broker's do. Raises
    InvalidConfigError and what the story raises.
    """
    return asyncio.run(_run(url, flags, env, work))


async def _run(
    url: str,
    flags: Mapping[str, str],
    env: Mapping[str, str],
    work: Callable[[ObjectStore], Story[T]],
) -> T:
    with opened_store(url, flags, env, asyncio.get_running_loop()) as store:
        return await tell(work(store))


@contextmanager
def opened_store(
    url: str,
    flags: Mapping[str, str],
    env: Mapping[str, str],
    loop: asyncio.AbstractEventLoop,
) -> Iterator[ObjectStore]:
    """The store, whose work comes to its end on the loop. Raises InvalidConfigError."""
    values = Settings.load({**flags, "cold.url": url}, env).values
    executor = ThreadExecutor(values.integer("cold.threads"), loop.call_soon_threadsafe)
    try:
        ports = StorePorts(executor, OsFileSystem(), SystemClock(), loop)
        store = open_store(str(values["cold.url"]), values, ports)
        try:
            yield store
        finally:
            store.close()
    finally:
        executor.close()
