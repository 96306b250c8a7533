"""What `tierbroker topic why` does: reads a data directory, beside a running broker too.

No API of Kafka's lists segments, so their files and the metadata log are read; never written.
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tierbroker.base.errors import DataDirError, InvalidConfigError
from tierbroker.base.fs import OsFileSystem
from tierbroker.base.ids import TopicPartition
from tierbroker.cli.exits import CommandFailedError
from tierbroker.cli.output import Cell, Column, print_rows
from tierbroker.cli.times import utc_text
from tierbroker.controller.errors import MetadataCorruptError
from tierbroker.controller.state.image import MetadataImage
from tierbroker.hot.config import LogConfig
from tierbroker.hot.config_origin import ConfigOrigin, ConfigSource, TopicConfigs
from tierbroker.hot.offset_checkpoint import (
    HIGH_WATERMARK_FILE,
    LOG_START_FILE,
    OffsetCheckpoint,
)
from tierbroker.hot.partition_dirs import DirState, parse_partition_dir
from tierbroker.hot.retention import SegmentFacts
from tierbroker.hot.retention_reasons import Reason, Rule, explain
from tierbroker.hot.segments_on_disk import SegmentOnDisk, look_at_segments
from tierbroker.node.metadata_on_disk import holds_metadata, read_metadata
from tierbroker.node.settings import Settings

COLUMNS = (
    Column("partition", "Partition", numeric=True),
    Column("segment", "Segment", numeric=True),
    Column("end", "End", numeric=True),
    Column("bytes", "Bytes", numeric=True),
    Column("active", "Active"),
    Column("newest", "Newest record"),
    Column("rule", "Rule"),
    Column("until", "Until"),
    Column("until_more_bytes", "Or bytes more", numeric=True),
    Column("setting", "Setting"),
    Column("source", "Set by"),
    Column("why", "Why it is still there"),
)

_SOURCES = {
    ConfigSource.DYNAMIC_TOPIC_CONFIG: "topic",
    ConfigSource.STATIC_BROKER_CONFIG: "broker",
    ConfigSource.DEFAULT_CONFIG: "default",
}

_WHY = {
    Rule.DUE: "nothing keeps it: the next check of retention removes it",
    Rule.HIGH_WATERMARK: "due, but its end is above the high watermark",
    Rule.OLDER_FIRST: "an older segment holds newer records, and segments go oldest first",
    Rule.AGE: "its newest record is not older than retention.ms",
    Rule.SIZE: "the segments behind it do not hold retention.bytes yet",
    Rule.FOREVER: "neither retention.ms nor retention.bytes limits this topic",
    Rule.COMPACTION: "cleanup.policy is not delete: compaction rewrites, retention removes nothing",
}

_FS = OsFileSystem()


@dataclass(frozen=True, slots=True)
class _Topic:
    """What is in force for the topic."""

    config: LogConfig
    origins: Mapping[str, ConfigOrigin]


def explain_topic(
    topic: str, partition: int | None, flags: Mapping[str, str], toml: str | None, *, as_json: bool
) -> None:
    """Print a row for every segment of the topic, or of one partition; CommandFailedError."""
    try:
        settings = Settings.load(flags, os.environ, toml)
        dirs = settings.values.texts("log.dirs") or settings.values.texts("log.dir")
        found = _describe(topic, settings, _image(dirs))
        rows = [
            row
            for directory in dirs
            for place in _places(directory, topic, partition)
            for row in _rows(directory, place, found)
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
    rows.sort(key=lambda row: (row[0], row[1]))
    print_rows(COLUMNS, rows, as_json=as_json)


def _image(dirs: Sequence[str]) -> MetadataImage:
    for directory in dirs:
        if holds_metadata(_FS, directory):
            return read_metadata(_FS, directory)
    raise CommandFailedError(
        f"There is no broker's data in {', '.join(dirs)}.\n"
        "Name its directory: tierbroker topic why TOPIC --data DIR"
    )


def _describe(topic: str, settings: Settings, image: MetadataImage) -> _Topic:
    if image.topic(topic) is None:
        raise CommandFailedError(
            f"There is no topic {topic}.\nThe topics that there are: tierbroker topic ls"
        )
    configs = TopicConfigs(settings.layers)
    texts = image.configs.topic(topic)
    origins = {origin.key.name: origin for origin in configs.explain(texts)}
    return _Topic(configs.log_config(texts), origins)


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


def _rows(directory: str, place: TopicPartition, topic: _Topic) -> list[tuple[Cell, ...]]:
    segments = look_at_segments(_FS, f"{directory}/{place}")
    starts = OffsetCheckpoint(_FS, directory, LOG_START_FILE).read()
    marks = OffsetCheckpoint(_FS, directory, HIGH_WATERMARK_FILE).read()
    facts = [
        SegmentFacts(
            segment.end_offset, segment.size_bytes, partial(int, segment.newest_ms), segment.active
        )
        for segment in segments
    ]
    end_offset = segments[-1].end_offset if segments else 0
    reasons = explain(
        facts,
        topic.config,
        int(time.time() * 1000),
        starts.get(place, 0),
        marks.get(place, end_offset),
    )
    return [
        _row(place, segment, reason, topic)
        for segment, reason in zip(segments, reasons, strict=True)
    ]


def _row(
    place: TopicPartition, segment: SegmentOnDisk, reason: Reason, topic: _Topic
) -> tuple[Cell, ...]:
    setting = source = None
    if reason.setting is not None:
        origin = topic.origins[reason.setting]
        setting = f"{reason.setting}={origin.text}"
        # A value may come from a broker's key of another name and unit.
        name = origin.synonyms[0].name if origin.synonyms else reason.setting
        source = _SOURCES.get(origin.source, origin.source.name.lower())
        source += f" ({name})" if name != reason.setting else ""
    why = _WHY[reason.rule]
    if reason.from_the_future:
        why += "; its newest record is far ahead of the clock"
    if segment.active:
        why += f"; {_rolls(segment, topic.config)}"
    return (
        place.partition,
        segment.base_offset,
        segment.end_offset,
        segment.size_bytes,
        segment.active,
        utc_text(segment.newest_ms),
        reason.rule.value,
        None if reason.until_ms is None else utc_text(reason.until_ms),
        reason.until_more_bytes,
        setting,
        source,
        why,
    )


def _rolls(segment: SegmentOnDisk, config: LogConfig) -> str:
    """When the active segment makes place for the next one."""
    left = max(config.segment_bytes - segment.size_bytes, 0)
    text = f"still written: a new one begins {left} bytes from now (segment.bytes)"
    if segment.first_ms >= 0:
        text += f" or with a record later than {utc_text(segment.first_ms + config.max_segment_ms)}"
        text += " (segment.ms)"
    return text
