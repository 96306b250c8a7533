"""Runs a restore and says what came back."""

import os
import random
from collections.abc import Mapping
from datetime import UTC, datetime

import click

from tierbroker.base.clock import SystemClock
from tierbroker.base.errors import DataDirError, InvalidConfigError
from tierbroker.base.fs import OsFileSystem
from tierbroker.cli.counting import counted
from tierbroker.cli.exits import CommandFailedError
from tierbroker.cli.output import Cell, Column, print_json, print_rows
from tierbroker.cli.restore_start import StartCommand
from tierbroker.cli.restore_words import older_fields, older_text, refusal
from tierbroker.cold.errors import StoreError
from tierbroker.node.older_checkpoint import OlderCheckpointError
from tierbroker.node.restoring import Restored, RestoredPartition, restore
from tierbroker.node.store_session import run_with_store

_COLUMNS = (
    Column("topic", "TOPIC"),
    Column("partition", "PARTITION", numeric=True),
    Column("start_offset", "START", numeric=True),
    Column("last_offset", "LAST OFFSET", numeric=True),
    Column("last_time", "LAST RECORD"),
    Column("missing", "MISSING", numeric=True),
)


def run_restore(
    url: str, data: str, sets: Mapping[str, str], checkpoint: int | None, *, as_json: bool
) -> None:
    """Raises CommandFailedError."""
    flags = {"log.dirs": data, **sets}
    fs, clock, rng = OsFileSystem(), SystemClock(), random.SystemRandom()
    try:
        restored = run_with_store(
            url,
            flags,
            os.environ,
            lambda store: restore(
                store, flags, fs=fs, clock=clock, rng=rng, env=os.environ, checkpoint=checkpoint
            ),
        )
    except OlderCheckpointError as error:
        raise CommandFailedError(refusal(error)) from error
    except (StoreError, DataDirError, InvalidConfigError, OSError) as error:
        raise CommandFailedError(f"Nothing was restored: {error}") from error
    start = StartCommand.of(url, data, sets)
    if as_json:
        print_json({**_summary(restored), "start": start.text, "start_keys": start.variables})
    rows = [_row(partition) for partition in restored.user_partitions]
    print_rows(_COLUMNS, rows, as_json=as_json)
    if not as_json:
        click.echo(_conclusion(restored, start), err=True)


def _row(partition: RestoredPartition) -> list[Cell]:
    last = partition.end_offset - 1
    time = None
    if partition.newest_ms >= 0:
        moment = datetime.fromtimestamp(partition.newest_ms / 1000, UTC)
        time = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return [
        partition.place.topic,
        partition.place.partition,
        partition.start_offset,
        last if last >= partition.start_offset else None,
        time,
        partition.missing,
    ]


def _summary(restored: Restored) -> dict[str, object]:
    return {
        "cluster_id": restored.head.cluster_id,
        "checkpoint": restored.checkpoint.sequence,
        "checkpoint_taken_ms": restored.checkpoint.taken_ms,
        "partitions": len(restored.user_partitions),
        "group_offsets": restored.group_offsets,
        "clamped_group_offsets": restored.clamped_offsets,
        "older": older_fields(restored),
    }


def _conclusion(restored: Restored, start: StartCommand) -> str:
    partitions = restored.user_partitions
    missing = sum(partition.missing for partition in partitions)
    taken = datetime.fromtimestamp(restored.checkpoint.taken_ms / 1000, UTC)
    lost = "Nothing is missing."
    if missing:
        alone = "on the lost disk alone" if restored.since is None else "not in this checkpoint"
        lost = f"{counted(missing, 'offset')} {'was' if missing == 1 else 'were'} {alone}."
    clamped = restored.clamped_offsets
    return (
        f"\nCluster {restored.head.cluster_id} is back as of {taken:%Y-%m-%d %H:%M:%S} UTC: "
        f"{counted(len(partitions), 'partition')}, "
        f"{counted(restored.group_offsets, 'group offset')}"
        f"{f' ({clamped:,} moved back to what is there)' if clamped else ''}. {lost}\n"
        f"{older_text(restored)}"
        f"{start.told}"
    )
