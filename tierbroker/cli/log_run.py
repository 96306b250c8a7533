"""What `tierbroker log` does: reads data directories, beside a running broker too.

Never writes, and knows of damage what the broker has noted: it looks for none itself.
"""

import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import click

from tierbroker.base.errors import InvalidConfigError
from tierbroker.base.fs import OsFileSystem
from tierbroker.base.ids import TopicPartition
from tierbroker.cli.exits import CommandFailedError
from tierbroker.cli.output import Cell, Column, print_rows
from tierbroker.cli.times import utc_text
from tierbroker.hot.damage import Damage, Notice, next_step, read_notices
from tierbroker.hot.file_names import DAMAGED_REGIONS_FILE, LOG_SUFFIX, offset_file_name
from tierbroker.hot.meta_properties import META_PROPERTIES_FILE
from tierbroker.hot.partition_dirs import DirState, parse_partition_dir
from tierbroker.node.settings import Settings

COLUMNS = (
    Column("topic", "Topic"),
    Column("partition", "Partition", numeric=True),
    Column("first_offset", "First offset", numeric=True),
    Column("last_offset", "Last offset", numeric=True),
    Column("bytes", "Bytes", numeric=True),
    Column("file", "File"),
    Column("position", "At byte", numeric=True),
    Column("noticed", "Noticed"),
    Column("reason", "Reason"),
    Column("next_step", "What to do"),
)

_FS = OsFileSystem()


class _Region(NamedTuple):
    partition: TopicPartition
    directory: str
    region: Damage
    notice: Notice


def list_damage(flags: Mapping[str, str], toml: str | None, *, as_json: bool) -> None:
    """Print a row for every damaged region; raises CommandFailedError if there is any."""
    try:
        settings = Settings.load(flags, os.environ, toml)
        dirs = settings.values.texts("log.dirs") or settings.values.texts("log.dir")
        for path in dirs:
            _check(path)
        found = sorted(region for path in dirs for region in _damage_in(path))
    except (InvalidConfigError, OSError) as error:
        raise CommandFailedError(f"Cannot read the data directory: {error}") from error
    if not found:
        # Not among the rows: whoever counts them must count none.
        click.echo(f"The broker has noted no damage in {', '.join(dirs)}.", err=True)
        return
    print_rows(COLUMNS, map(_row, found), as_json=as_json)
    partitions = len({each.partition for each in found})
    raise CommandFailedError(
        f"{_count(len(found), 'region')} of {_count(partitions, 'partition')} "
        f"{'is' if len(found) == 1 else 'are'} damaged; everything around is served."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _check(path: str) -> None:
    if not _FS.exists(f"{path}/{META_PROPERTIES_FILE}"):
        raise CommandFailedError(
            f"There is no broker's data in {path}.\n"
            "Name its directory: tierbroker log damage --data DIR"
        )


def _damage_in(path: str) -> Iterator[_Region]:
    for name in _FS.listdir(path):
        found = parse_partition_dir(name)
        directory = f"{path}/{name}"
        if found is None or found.state is not DirState.LIVE:
            continue
        if _FS.exists(f"{directory}/{DAMAGED_REGIONS_FILE}"):
            for region, notice in read_notices(_FS, directory).items():
                yield _Region(found.topic_partition, directory, region, notice)


def _row(found: _Region) -> tuple[Cell, ...]:
    (topic, partition), region = found.partition, found.region
    path = f"{found.directory}/{offset_file_name(region.segment, LOG_SUFFIX)}"
    return (
        topic,
        partition,
        region.first_offset,
        region.next_offset - 1,
        region.end_position - region.position,
        path,
        region.position,
        utc_text(found.notice.noticed_ms),
        found.notice.reason,
        next_step(path, region),
    )
