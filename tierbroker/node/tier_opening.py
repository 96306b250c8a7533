"""Opening the broker's cold tier, where its settings name one."""

import os
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tierbroker.base.errors import DataDirError, InvalidConfigError
from tierbroker.cold.config import split_url
from tierbroker.hot.partition_dirs import parse_partition_dir
from tierbroker.node.repeated_settings import restore_advice
from tierbroker.node.settings import Settings

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from tierbroker.base.clock import Clock
    from tierbroker.base.fs import FileSystem
    from tierbroker.controller.driver import MetadataDriver
    from tierbroker.groups.coordinator import GroupCoordinator
    from tierbroker.node.tiering import Tiering
    from tierbroker.replication.partitions import Partitions

MEMORY_URL = "memory://"


async def open_tier(
    settings: Settings,
    *,
    cluster_id: str,
    driver: "MetadataDriver",
    groups: "GroupCoordinator",
    partitions: "Partitions",
    fs: "FileSystem",
    clock: "Clock",
    rng: random.Random,
    loop: "asyncio.AbstractEventLoop",
    on_failure: "Callable[[BaseException, str], None]",
) -> "Tiering | None":
    """The cold tier, started; None without `cold.url`. Raises DataDirError where it is another's,
    InvalidConfigError where one is needed.

    Nothing of it is imported before a setting names a store.
    """
    tier, values = driver.image.tier, settings.values
    url = values.text("cold.url")
    if not url:
        if values.flag("log.remote.storage.enable"):
            raise InvalidConfigError(
                "log.remote.storage.enable=true: new topics cannot be tiered without a cold tier. "
                "Set cold.url too, for example --set cold.url=file:///var/lib/tierbroker/cold"
            )
        if tier.store_id is not None and len(tier.partitions):
            raise DataDirError(
                f"{len(tier.partitions)} partitions of this cluster have records in an object "
                "store, which no setting names. Start with cold.url set to where they are."
            )
        return None
    if url == MEMORY_URL and str(values["flush.mode"]) != "none":
        # What leaves the disk for there is gone with the process (INV-1).
        raise InvalidConfigError(
            f"cold.url={url}: such a store ends with the broker, and this one keeps its data. "
            "Set cold.url to s3://bucket/prefix or file:///directory, or start a broker that "
            "keeps nothing: tierbroker dev --ephemeral (flush.mode=none)"
        )
    refuse_store_among_logs(url, values.texts("log.dirs") or values.texts("log.dir"))
    from tierbroker.node.tiering import Tiering

    tiering = Tiering(
        url,
        values,
        cluster_id=cluster_id,
        restore=restore_advice(settings),
        driver=driver,
        groups=groups,
        partitions=partitions,
        fs=fs,
        clock=clock,
        rng=rng,
        scheduler=loop,
        post=loop.call_soon_threadsafe,
        on_failure=on_failure,
    )
    await tiering.start()
    if tiering.refusal is not None:
        refusal = tiering.refusal
        await tiering.close()
        raise DataDirError(refusal)
    return tiering


def refuse_store_among_logs(url: str, log_dirs: Sequence[str]) -> None:
    """Raise InvalidConfigError for a store in a directory that a start may take for a partition's:
    it would be set aside as one of a topic that nobody knows.
    """
    place = split_url(url)
    if place.scheme != "file":
        return
    root = os.path.realpath(place.place)
    for path in log_dirs:
        first = os.path.relpath(root, os.path.realpath(path)).split(os.sep)[0]
        if first == os.curdir or parse_partition_dir(first) is not None:
            raise InvalidConfigError(
                f"cold.url={url}: in the log directory {path} that is where logs are. Set cold.url "
                f"to a directory beside it, for example file://{os.path.realpath(path)}-cold"
            )
