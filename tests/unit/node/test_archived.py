"""The metadata in a checkpoint becomes topics and what is kept of them."""

import pytest

from tests.cold_store import ORDERS, ColdStore, golden_store, memory_store
from tierbroker.base.ids import TopicPartition
from tierbroker.base.story import tell
from tierbroker.cold.checksum import crc64nvme
from tierbroker.cold.container import ContentKind, SectionKind, build_end
from tierbroker.cold.errors import ObjectDamagedError
from tierbroker.cold.head import CheckpointName, Head, encode_head
from tierbroker.node.archived import open_archive
from tierbroker.records.builder import build_batch
from tierbroker.records.record import Record


def test_the_state_is_the_one_that_was_checkpointed() -> None:
    made = golden_store()
    archive = tell(open_archive(memory_store(made.objects))).result()
    assert archive.topics == {"orders": ORDERS}
    assert list(archive.state.snapshot_events()) == list(made.state.snapshot_events())
    assert archive.log_ends == {TopicPartition("orders", 0): 70}
    assert archive.checkpoint == made.checkpoints[0]


def store_with_metadata(made: ColdStore, metadata: bytes):
    data = build_end(ContentKind.CHECKPOINT, [(SectionKind.METADATA, metadata)])
    name = CheckpointName("c/x.ckpt", len(data), crc64nvme(data), 9, 9, 0)
    assert made.state.store_id is not None
    head = Head("c", made.state.store_id, made.state.incarnations[-1], (name,))
    return memory_store({"head": encode_head(head), "c/x.ckpt": data})


def test_an_event_of_a_later_release_is_refused() -> None:
    # A NoOpRecord with tag 10000: event kind 8, which is not given out yet.
    value = bytes((1, 20, 0, 1, 0x90, 0x4E, 2, 8, 0))
    batch = build_batch([Record(0, 0, None, value)])
    with pytest.raises(ObjectDamagedError, match="newer tierbroker"):
        tell(open_archive(store_with_metadata(golden_store(), batch))).result()


def test_metadata_that_does_not_decode_is_said() -> None:
    batch = build_batch([Record(0, 0, None, b"\x01\x02\x00rubbish")])
    with pytest.raises(ObjectDamagedError, match=r"c/x\.ckpt"):
        tell(open_archive(store_with_metadata(golden_store(), batch))).result()
