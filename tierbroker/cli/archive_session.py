"""What the commands share that read a store with no broker: how it opens, and how that fails."""

import difflib
import logging
import os
from collections.abc import Callable, Mapping
from typing import TypeVar

import click

from tierbroker.base.errors import InvalidConfigError
from tierbroker.base.story import Story
from tierbroker.cli.exits import CommandFailedError
from tierbroker.cli.store_command import store_command
from tierbroker.cli.times import utc_text
from tierbroker.cold.archive import Archive
from tierbroker.cold.errors import ObjectDamagedError, ObjectNotFoundError, StoreError
from tierbroker.cold.ports import ObjectStore
from tierbroker.node.archived import open_archive
from tierbroker.node.store_session import run_with_store

T = TypeVar("T")


def run_with_archive(
    url: str,
    settings: Mapping[str, str],
    work: Callable[[ObjectStore, Archive], Story[T]],
) -> T:
    """Open the store and the archive in it, tell the story of `work`; raises CommandFailedError."""

    async def story(store: ObjectStore) -> T:
        archive = await open_archive(store)
        for fault in archive.faults:
            click.echo(
                f"The checkpoint of {utc_text(fault.name.taken_ms)} cannot be read: "
                f"{fault.error}. Taking one before, of {utc_text(archive.checkpoint.taken_ms)}. A "
                "broker that runs writes a new one with its next change.",
                err=True,
            )
        try:
            return await work(store, archive)
        except (ObjectDamagedError, ObjectNotFoundError) as error:
            raise CommandFailedError(
                f"{error}.\nTo find all that is wrong: "
                f"{store_command(settings, 'tier', 'verify', url)}"
            ) from error

    # What goes wrong is told once, by the error; without a handler warnings are printed as well.
    logging.getLogger("tierbroker").addHandler(logging.NullHandler())
    try:
        return run_with_store(url, settings, os.environ, story)
    except (StoreError, InvalidConfigError) as error:
        raise CommandFailedError(str(error)) from error


def check_topic(archive: Archive, topic: str, url: str, settings: Mapping[str, str]) -> None:
    """Raise CommandFailedError, which names topics that are near, unless the topic is there."""
    if topic in archive.topics:
        return
    near = difflib.get_close_matches(topic, archive.topics, n=3)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise CommandFailedError(
        f"Cluster {archive.head.cluster_id} in {url} has no topic {topic!r}.{hint}\n"
        f"To see all of them: {store_command(settings, 'archive', 'ls', url)}"
    )
