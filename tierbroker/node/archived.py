"""The archive in a bucket, opened: its latest checkpoint as topics and what is kept of them.

Reads two objects, more only where a checkpoint is damaged, and writes nothing.
"""

import json

from tierbroker.base.ids import TopicPartition
from tierbroker.cold.archive import Archive, read_latest
from tierbroker.cold.errors import ObjectDamagedError
from tierbroker.cold.ports import ObjectStore
from tierbroker.controller.errors import MetadataCorruptError
from tierbroker.controller.raft.batches import open_batches
from tierbroker.controller.state.codec import decode_record
from tierbroker.controller.state.snapshot import image_of_records


async def open_archive(store: ObjectStore) -> Archive:
    """The cluster that the store holds. A story.

    Raises StoreMismatchError where there is none, ObjectDamagedError for a checkpoint that is
    damaged or that a later release wrote, StoreError.
    """
    head, checkpoint, sections, faults = await read_latest(store)
    try:
        image = image_of_records(
            (
                decode_record(value)
                for batch in open_batches(bytes(sections.metadata), checkpoint.key)
                for value in batch.values
            ),
            checkpoint.metadata_offset,
        )
    except MetadataCorruptError as error:
        raise ObjectDamagedError(f"{checkpoint.key} in {store.url}: {error}") from error
    ends = map(json.loads, bytes(sections.log_ends).splitlines())
    return Archive(
        head,
        checkpoint,
        image.tier,
        {topic.name: topic.topic_id for topic in image.topics},
        {TopicPartition(line["topic"], line["partition"]): int(line["end"]) for line in ends},
        faults,
    )
