"""An empty disk beside a store that holds a cluster: that cluster's disk was lost.

Looked at before anything is made on the disk, so that the restore that is called for finds the
directory as empty as it was. A store that does not answer is left to the broker's start.
"""

import asyncio
import shlex
from contextlib import suppress
from typing import TYPE_CHECKING

from tierbroker.base.clock import SystemClock
from tierbroker.base.errors import DataDirError
from tierbroker.base.executor import ThreadExecutor
from tierbroker.base.fs import OsFileSystem
from tierbroker.node.repeated_settings import restore_command
from tierbroker.node.settings import Settings

if TYPE_CHECKING:
    from tierbroker.cold.ports import ObjectStore

MEMORY_URL = "memory://"
LOOK_TIMEOUT_S = 5.0
"""A store that is slower than that holds no start up here; the start itself asks again."""


async def refuse_lost_cluster(settings: Settings) -> None:
    """Raise DataDirError when all log directories are empty and the store can be restored.

    Raises InvalidConfigError for a store that its settings do not describe.
    """
    values, fs = settings.values, OsFileSystem()
    url = values.text("cold.url")
    if not url or url == MEMORY_URL or str(values["flush.mode"]) == "none":
        return  # nothing is kept: nothing was lost
    paths = values.texts("log.dirs") or values.texts("log.dir")
    if any(fs.exists(path) and fs.listdir(path) for path in paths):
        return
    from tierbroker.base.story import tell
    from tierbroker.cold.errors import StoreError
    from tierbroker.cold.head import read_head
    from tierbroker.cold.stores import StorePorts, open_store

    loop = asyncio.get_running_loop()
    executor = ThreadExecutor(1, loop.call_soon_threadsafe)
    try:
        store = open_store(url, values, StorePorts(executor, fs, SystemClock(), loop))
    except BaseException:
        executor.close()
        raise
    looked = tell(read_head(store))
    # Not before: to close them waits for the request that is under way.
    looked.on_done(lambda _: loop.call_soon(_close, store, executor))
    found = None
    with suppress(StoreError, TimeoutError):
        async with asyncio.timeout(LOOK_TIMEOUT_S):
            found = await looked
    if found is None:
        return
    head, _ = found
    latest = head.latest
    if latest is None:
        return
    raise DataDirError(
        f"{url} holds cluster {head.cluster_id} (checkpoint {latest.sequence}), and "
        f"{paths[0]} is empty. To bring that cluster back:\n"
        f"  {_restore_command(settings, paths[0])}\n"
        "To start another one: choose another prefix."
    )


def _restore_command(settings: Settings, path: str) -> str:
    """To be pasted, with what says how the store is reached."""
    words, variables = restore_command(settings, path)
    command = shlex.join(words)
    if not variables:
        return command
    return f"{command}\nwith the keys in the environment, as {', '.join(variables)}"


def _close(store: "ObjectStore", executor: ThreadExecutor) -> None:
    store.close()
    executor.close()
