"""An archive is read as its latest checkpoint says, whatever else lies in the bucket."""

import pytest

from tests.cold_store import CLUSTER, ColdStore, golden_store, kafka_batch, memory_store
from tierbroker.base.errors import KafkaStorageError
from tierbroker.base.ids import TopicPartition
from tierbroker.base.pending import Pending
from tierbroker.base.scheduler import ManualScheduler
from tierbroker.base.story import tell
from tierbroker.cold.archive import (
    Archive,
    ArchiveReader,
    first_offset,
    first_time_ms,
    read_latest,
    records_in,
)
from tierbroker.cold.errors import ObjectDamagedError, ObjectNotFoundError, StoreMismatchError
from tierbroker.cold.head import Head, encode_head
from tierbroker.cold.ports import ObjectStore
from tierbroker.cold.reader import ReadLimits
from tierbroker.records.record import Record

PLACE = TopicPartition("orders", 0)


def archive_of(made: ColdStore) -> Archive:
    store = memory_store(made.objects)
    head, name, *_ = tell(read_latest(store)).result()
    return Archive(head, name, made.state, made.topics, {})


def read_all(
    store: ObjectStore,
    archive: Archive,
    start: int,
    end: int,
    *,
    uncommitted: bool = False,
    limits: ReadLimits | None = None,
) -> list[Record]:
    scheduler = ManualScheduler()
    (tier,) = archive.tiers("orders")
    reader = ArchiveReader(store, archive, scheduler, limits or ReadLimits())
    found: list[Record] = []

    async def story() -> None:
        offset = start
        while offset < end:
            read = await reader.read(tier, PLACE, offset)
            found.extend(records_in(read, offset, end, uncommitted=uncommitted))
            assert read.next_offset > offset
            offset = read.next_offset

    told = tell(story())
    while not told.done:
        scheduler.advance(0.001)
    reader.close()
    told.result()
    return found


def test_committed_records_from_the_log_start_on() -> None:
    made = golden_store()
    archive = archive_of(made)
    (tier,) = archive.tiers("orders")
    assert first_offset(tier) == 5
    records = read_all(memory_store(made.objects), archive, 5, tier.end_offset + 1)
    assert [record.offset for record in records] == [*range(5, 40), *range(52, 62), 63, 64]
    assert records[-1].value == b"plain 1"


def test_small_pieces_give_the_same_records() -> None:
    made = golden_store()
    store, archive = memory_store(made.objects), archive_of(made)
    limits = ReadLimits(cache_bytes=4096, index_cache_bytes=100, piece_bytes=300, depth=3)
    assert read_all(store, archive, 5, 67, limits=limits) == read_all(store, archive, 5, 67)


def test_a_part_is_read_and_aborted_records_on_demand() -> None:
    made = golden_store()
    store, archive = memory_store(made.objects), archive_of(made)
    offsets = [record.offset for record in read_all(store, archive, 38, 54)]
    assert offsets == [38, 39, 52, 53]
    offsets = [record.offset for record in read_all(store, archive, 38, 54, uncommitted=True)]
    assert offsets == [38, 39, *range(41, 51), 52, 53]


def test_a_time_is_found_and_the_first_one_told() -> None:
    made = golden_store()
    store, archive = memory_store(made.objects), archive_of(made)
    (tier,) = archive.tiers("orders")
    scheduler = ManualScheduler()
    reader = ArchiveReader(store, archive, scheduler)
    for time_ms, offset in ((0, 5), (1081, 9), (2000, 63), (9999, None)):
        told = tell(reader.offset_for_time(tier, PLACE, time_ms))
        while not told.done:
            scheduler.advance(0.001)
        assert told.result() == offset
    assert tell(first_time_ms(store, archive, tier)).result() == 1000


def test_damage_names_the_object() -> None:
    made = golden_store()
    key = next(key for key in made.objects if "041-" in key and key.endswith(".seg"))
    damaged = bytearray(made.objects[key])
    damaged[100] ^= 1
    store = memory_store({**made.objects, key: bytes(damaged)})
    with pytest.raises(KafkaStorageError, match="CRC") as failure:
        read_all(store, archive_of(made), 41, 67)
    assert key in str(failure.value)


def test_a_store_without_a_cluster_says_what_is_there() -> None:
    with pytest.raises(StoreMismatchError, match="Nothing is there"):
        tell(read_latest(memory_store({}))).result()
    with pytest.raises(StoreMismatchError, match=r"something else \(photos/1\.jpg"):
        tell(read_latest(memory_store({"photos/1.jpg": b"x"}))).result()
    made = golden_store()
    head = Head(CLUSTER, made.state.store_id or made.state.incarnations[0], b"i" * 16)
    with pytest.raises(StoreMismatchError, match="no checkpoint of it yet"):
        tell(read_latest(memory_store({"head": encode_head(head)}))).result()


def test_a_later_format_is_not_guessed_at() -> None:
    made = golden_store()
    made.objects["head"] = made.objects["head"].replace(b'"format": 1', b'"format": 2')
    with pytest.raises(ObjectDamagedError, match="format 2, this release reads 1"):
        tell(read_latest(memory_store(made.objects))).result()


def test_a_checkpoint_that_is_gone_or_damaged_is_passed_over() -> None:
    made = golden_store()
    newest, before = (name.key for name in made.checkpoints)
    kept = {key: data for key, data in made.objects.items() if key != newest}
    latest = tell(read_latest(memory_store(kept))).result()
    assert latest.checkpoint.key == before
    (fault,) = latest.faults
    assert isinstance(fault.error, ObjectNotFoundError)
    assert fault.name.key == newest
    kept[before] = made.objects[before][::-1]
    with pytest.raises(ObjectNotFoundError, match=r"-1\.ckpt"):
        tell(read_latest(memory_store(kept))).result()
    kept[newest] = made.objects[newest][::-1]
    with pytest.raises(ObjectDamagedError, match="not what was written"):
        tell(read_latest(memory_store(kept))).result()


def test_a_checkpoint_that_a_newer_one_replaced_meanwhile() -> None:
    made = golden_store()
    store = memory_store(made.objects)
    head = store.contents["head"]
    gone = made.checkpoints[0].key
    made.checkpoint()
    store.delete(gone).result()
    asked: list[str] = []
    get_range = store.get_range

    def get(key: str, start: int, length: int) -> Pending[bytes | memoryview]:
        asked.append(key)
        if key == gone:  # by now the head names another one
            for name, data in made.objects.items():
                if name != gone:
                    store.put(name, [data]).result()
        return get_range(key, start, length)

    store.get_range = get  # type: ignore[method-assign]
    assert store.contents["head"] == head
    latest = tell(read_latest(store)).result()
    assert (latest.checkpoint.sequence, latest.faults) == (2, ())
    assert asked == ["head", gone, "head", latest.checkpoint.key]


def test_segments_that_no_commit_names_are_not_read() -> None:
    made = golden_store()
    stray = made.intent(70, 79, 5)
    made.put(stray, kafka_batch("none", 70, 5))
    archive = archive_of(golden_store())
    assert [tier.end_offset for tier in archive.tiers("orders")] == [66]
