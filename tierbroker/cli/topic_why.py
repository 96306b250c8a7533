"""What `tierbroker topic why` does: reads a data directory, beside a running broker too.

No API of Kafka's lists segments, so their files and the metadata log are read; never written. The
broker that runs there is asked how it was started; without one, the settings given count.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import click

from tierbroker.base.config import Scope
from tierbroker.base.errors import DataDirError, InvalidConfigError
from tierbroker.base.fs import OsFileSystem
from tierbroker.base.ids import TopicPartition
from tierbroker.cli.bootstrap import Bootstrap
from tierbroker.cli.exits import CommandFailedError, UnreachableError
from tierbroker.cli.output import Cell, print_rows
from tierbroker.cli.running_broker import RunningBroker, broker_of
from tierbroker.cli.why_blocks import print_blocks
from tierbroker.cli.why_rows import ALSO_NEEDED, COLUMNS, Topic, partition_rows
from tierbroker.controller.errors import MetadataCorruptError
from tierbroker.controller.state.image import MetadataImage
from tierbroker.hot.config_origin import TopicConfigs, explain_broker_key
from tierbroker.hot.partition_dirs import DirState, parse_partition_dir
from tierbroker.node.metadata_on_disk import holds_metadata, read_metadata
from tierbroker.node.settings import SCHEMA, Settings

_FS = OsFileSystem()


@dataclass(frozen=True, slots=True)
class Where:
    """Where to look, as the command line says it."""

    flags: Mapping[str, str]
    """Settings given one by one; `log.dirs` if a directory was named."""
    toml: str | None
    bootstrap: Bootstrap
    is_named: bool
    """Whether the broker was named in the command: then it must answer."""
    default_dir: str


def explain_topic(topic: str, partition: int | None, where: Where, *, as_json: bool) -> None:
    """Print a row for every segment of the topic, or of one partition.

    Raises CommandFailedError; UnreachableError for a broker that was named.
    """
    try:
        settings, dirs, broker = _find(where)
        found = _describe(topic, settings, _image(dirs), broker)
        rows = [
            row
            for directory in dirs
            for place in _places(directory, topic, partition)
            for row in partition_rows(_FS, directory, place, found)
        ]
    except (InvalidConfigError, MetadataCorruptError, DataDirError, OSError) as error:
        raise CommandFailedError(f"Cannot read the data directory: {error}") from error
    if not rows:
        what = f"topic {topic}" if partition is None else f"{topic}-{partition}"
        raise CommandFailedError(
            f"There is no log of {what} in {', '.join(dirs)}.\n"
            "Name the broker's data directory with --data, or list the topics with: "
            "tierbroker topic ls"
        )
    rows.sort(key=_slot)
    if as_json or not sys.stdout.isatty():
        print_rows(COLUMNS, rows, as_json=as_json)
    else:
        keys = [column.key for column in COLUMNS]
        print_blocks(topic, [dict(zip(keys, row, strict=True)) for row in rows])


def _slot(row: Sequence[Cell]) -> tuple[int, int]:
    """Partition and segment."""
    partition, segment, *_rest = row
    assert isinstance(partition, int)
    assert isinstance(segment, int)
    return partition, segment


# -- where, and with which settings ------------------------------------------------------------


def _find(where: Where) -> tuple[Settings, Sequence[str], RunningBroker | None]:
    """The settings in force, the data directories, and the broker that serves them."""
    given = Settings.load(where.flags, os.environ, where.toml)
    dirs: Sequence[str] = ()
    if {"log.dirs", "log.dir"} & given.texts.keys():
        dirs = given.values.texts("log.dirs") or given.values.texts("log.dir")
    broker, why_not = _ask(where, dirs)
    if broker is None:
        click.echo(
            f"Broker settings count as defaults unless given here: {why_not}. "
            "Name the broker with -b, or its settings with --config or --set.",
            err=True,
        )
        return given, dirs or (where.default_dir,), None
    # What another version of the broker knows decides nothing here.
    known = {key.name for key in SCHEMA.keys(Scope.BROKER)}
    texts = {name: text for name, text in broker.texts.items() if name in known}
    return Settings.load({**texts, **where.flags}), dirs or broker.dirs, broker


def _ask(where: Where, dirs: Sequence[str]) -> tuple[RunningBroker | None, str]:
    """The broker, or why there is none."""
    try:
        broker = broker_of(_FS, where.bootstrap, dirs)
    except (UnreachableError, CommandFailedError):
        if where.is_named:
            raise
        return None, f"no broker answers at {where.bootstrap}"
    if broker is not None:
        return broker, ""
    whose = ", ".join(dirs) or "a data directory on this machine"
    reason = f"no broker of the cluster at {where.bootstrap} serves {whose}"
    if where.is_named:
        raise CommandFailedError(
            f"{reason[0].upper()}{reason[1:]}.\n"
            "The files are read where they lie: run this on the broker's machine, and name its "
            "data directory with --data if it has another path here."
        )
    return None, reason


def _image(dirs: Sequence[str]) -> MetadataImage:
    for directory in dirs:
        if holds_metadata(_FS, directory):
            return read_metadata(_FS, directory)
    raise CommandFailedError(
        f"There is no broker's data in {', '.join(dirs)}.\n"
        "Name its directory: tierbroker topic why TOPIC --data DIR"
    )


def _describe(
    topic: str, settings: Settings, image: MetadataImage, broker: RunningBroker | None
) -> Topic:
    known = image.topic(topic)
    if known is None:
        raise CommandFailedError(
            f"There is no topic {topic}.\nThe topics that there are: tierbroker topic ls"
        )
    topic_id = known.topic_id
    configs = TopicConfigs(settings.layers)
    texts = image.configs.topic(topic)
    origins = {origin.key.name: origin for origin in configs.explain(texts)}
    for name in ALSO_NEEDED:
        origins[name] = explain_broker_key(SCHEMA.find(name, Scope.BROKER), settings.layers)
    compacts = settings.values.flag("log.cleaner.enable")
    return Topic(
        configs.log_config(texts),
        origins,
        compacts,
        broker,
        lambda partition: image.tier.named_end_offset(topic_id, partition) + 1,
    )


def _places(directory: str, topic: str, partition: int | None) -> list[TopicPartition]:
    parsed = [parse_partition_dir(name) for name in _FS.listdir(directory)]
    return [
        found.topic_partition
        for found in parsed
        if found is not None
        and found.state is DirState.LIVE
        and found.topic_partition.topic == topic
        and partition in (None, found.topic_partition.partition)
    ]
