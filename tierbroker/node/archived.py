"""The archive in a bucket, opened: its latest checkpoint as topics and what is kept of them.

Reads two objects, more only where a checkpoint is damaged, and writes nothing.
"""

import json
from typing import NamedTuple

from tierbroker.base.ids import TopicPartition
from tierbroker.cold.archive import Archive, Latest, read_latest
from tierbroker.cold.errors import ObjectDamagedError
from tierbroker.cold.ports import ObjectStore
from tierbroker.controller.errors import MetadataCorruptError
from tierbroker.controller.raft.batches import open_batches
from tierbroker.controller.state.codec import decode_record
from tierbroker.controller.state.image import MetadataImage
from tierbroker.controller.state.snapshot import image_of_records
from tierbroker.records.batch import walk


class OpenedCheckpoint(NamedTuple):
    """What a checkpoint says, decoded."""

    image: MetadataImage
    """As of the checkpoint's metadata offset."""
    log_ends: dict[TopicPartition, int]
    """Where the broker's logs ended."""


async def open_archive(store: ObjectStore) -> Archive:
    """The cluster that the store holds. A story.

    Raises StoreMismatchError where there is none, ObjectDamagedError for a checkpoint that is
    damaged or that a later release wrote, StoreError.
    """
    latest = await read_latest(store)
    image, log_ends = open_checkpoint(latest, store.url)
    return Archive(
        latest.head,
        latest.checkpoint,
        image.tier,
        {topic.name: topic.topic_id for topic in image.topics},
        log_ends,
        latest.faults,
    )


def open_checkpoint(latest: Latest, url: str) -> OpenedCheckpoint:
    """Decode a checkpoint; raises ObjectDamagedError for one that a later release wrote."""
    name, data = latest.checkpoint, bytes(latest.sections.metadata)
    try:
        records = (
            decode_record(value) for batch in open_batches(data, name.key) for value in batch.values
        )
        epoch = max((header.partition_leader_epoch for _, header in walk(data)), default=0)
        image = image_of_records(records, name.metadata_offset, epoch)
    except MetadataCorruptError as error:
        raise ObjectDamagedError(f"{name.key} in {url}: {error}") from error
    lines = map(json.loads, bytes(latest.sections.log_ends).splitlines())
    return OpenedCheckpoint(
        image,
        {TopicPartition(line["topic"], line["partition"]): int(line["end"]) for line in lines},
    )
