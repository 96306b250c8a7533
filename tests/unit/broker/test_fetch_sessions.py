import random

import pytest

from tierbroker.base.clock import ManualClock
from tierbroker.base.errors import (
    FetchSessionIdNotFoundError,
    FetchSessionTopicIdError,
    InvalidFetchSessionEpochError,
)
from tierbroker.broker.fetch_sessions import FetchContext, FetchSessionCache
from tierbroker.wire.fetch import (
    FetchPartition,
    FetchRequest,
    FetchTopic,
    ForgottenTopic,
    PartitionData,
)

VERSION = 12


def request(
    session_id: int = 0, epoch: int = -1, partitions: dict[int, int] | None = None, **rest: object
) -> FetchRequest:
    asked = [
        FetchPartition(partition=index, fetch_offset=offset, partition_max_bytes=1000)
        for index, offset in (partitions or {}).items()
    ]
    topics = [FetchTopic(topic="t", partitions=asked)] if asked else []
    return FetchRequest(session_id=session_id, session_epoch=epoch, topics=topics, **rest)


def answers(context: FetchContext, high_watermark: int = 5, records: bytes = b"") -> list[int]:
    """Partitions that the answer names when each one was read like this."""
    read = []
    for target in context.targets:
        data = PartitionData()
        data.partition_index = target.asked.partition
        data.high_watermark = data.last_stable_offset = high_watermark
        data.log_start_offset = 0
        data.records = records
        read.append(data)
    return [data.partition_index for _, data in context.select(read)]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def cache(clock: ManualClock) -> FetchSessionCache:
    return FetchSessionCache(clock, random.Random(1), slots=2)


def test_without_a_session_everything_is_answered(cache: FetchSessionCache) -> None:
    context = cache.open(request(partitions={0: 0, 1: 0}), VERSION)
    assert context.session_id == 0
    assert answers(context) == [0, 1]
    assert len(cache) == 0


def test_a_session_answers_only_news(cache: FetchSessionCache) -> None:
    first = cache.open(request(0, 0, {0: 0, 1: 0}), VERSION)
    assert first.session_id != 0
    assert answers(first) == [0, 1]
    second = cache.open(request(first.session_id, 1), VERSION)
    assert [target.asked.partition for target in second.targets] == [0, 1]
    assert answers(second) == []
    third = cache.open(request(first.session_id, 2), VERSION)
    assert answers(third, high_watermark=6) == [0, 1]


def test_served_partitions_rotate_to_the_back(cache: FetchSessionCache) -> None:
    """But not those of the first answer, which is whole."""
    orders = []
    fetch = cache.open(request(0, 0, {0: 0, 1: 0, 2: 0}), VERSION)
    for epoch in (1, 2, 3):
        orders.append([target.asked.partition for target in fetch.targets])
        data = []
        for target in fetch.targets:
            item = PartitionData()
            item.partition_index = target.asked.partition
            item.records = b"xyz" if target is fetch.targets[0] else b""
            data.append(item)
        fetch.select(data)
        fetch = cache.open(request(fetch.session_id, epoch), VERSION)
    assert orders == [[0, 1, 2], [0, 1, 2], [1, 2, 0]]


def test_partitions_are_added_changed_and_forgotten(cache: FetchSessionCache) -> None:
    first = cache.open(request(0, 0, {0: 0, 1: 0}), VERSION)
    update = request(
        first.session_id,
        1,
        {0: 7, 2: 3},
        forgotten_topics_data=[ForgottenTopic(topic="t", partitions=[1])],
    )
    context = cache.open(update, VERSION)
    asked = {target.asked.partition: target.asked.fetch_offset for target in context.targets}
    assert asked == {0: 7, 2: 3}


def test_wrong_epochs_and_ids_are_refused(cache: FetchSessionCache) -> None:
    session_id = cache.open(request(0, 0, {0: 0}), VERSION).session_id
    with pytest.raises(FetchSessionIdNotFoundError):
        cache.open(request(session_id + 1, 1), VERSION)
    with pytest.raises(InvalidFetchSessionEpochError):
        cache.open(request(session_id, 2), VERSION)
    with pytest.raises(FetchSessionTopicIdError):
        cache.open(request(session_id, 1), 13)


def test_the_final_epoch_closes_a_session_and_epoch_0_replaces_it(
    cache: FetchSessionCache,
) -> None:
    session_id = cache.open(request(0, 0, {0: 0}), VERSION).session_id
    replaced = cache.open(request(session_id, 0, {0: 0}), VERSION).session_id
    assert replaced not in (0, session_id)
    assert len(cache) == 1
    assert cache.open(request(replaced, -1, {0: 0}), VERSION).session_id == 0
    assert len(cache) == 0


def test_a_full_cache_keeps_what_is_in_use(cache: FetchSessionCache, clock: ManualClock) -> None:
    first = cache.open(request(0, 0, {0: 0}), VERSION).session_id
    cache.open(request(0, 0, {0: 0}), VERSION)
    assert cache.open(request(0, 0, {0: 0}), VERSION).session_id == 0
    clock.advance(120_000)
    newcomer = cache.open(request(0, 0, {0: 0}), VERSION).session_id
    assert newcomer != 0
    with pytest.raises(FetchSessionIdNotFoundError):
        cache.open(request(first, 1), VERSION)


def test_an_error_is_news_and_so_is_its_end(cache: FetchSessionCache) -> None:
    first = cache.open(request(0, 0, {0: 0}), VERSION)
    answers(first)
    failed = cache.open(request(first.session_id, 1), VERSION)
    data = PartitionData()
    data.error_code = 6
    assert len(failed.select([data])) == 1
    healed = cache.open(request(first.session_id, 2), VERSION)
    assert answers(healed) == [0]
    calm = cache.open(request(first.session_id, 3), VERSION)
    assert answers(calm) == []


def test_a_session_of_nothing_is_one(cache: FetchSessionCache) -> None:
    made = cache.open(request(0, 0), VERSION)
    assert made.session_id != 0
    assert [t.asked.partition for t in cache.open(request(made.session_id, 1, {0: 0}), 12).targets]


def test_a_session_ends_when_nothing_is_left_in_it(cache: FetchSessionCache) -> None:
    made = cache.open(request(0, 0, {0: 0}), VERSION)
    gone = [ForgottenTopic(topic="t", partitions=[0])]
    last = cache.open(request(made.session_id, 1, forgotten_topics_data=gone), VERSION)
    assert (last.session_id, last.targets, len(cache)) == (0, [], 0)
    with pytest.raises(FetchSessionIdNotFoundError):
        cache.open(request(made.session_id, 2), VERSION)


def test_a_partition_that_is_named_twice_is_read_once(cache: FetchSessionCache) -> None:
    asked = [FetchPartition(partition=0, fetch_offset=offset) for offset in (1, 2)]
    twice = FetchRequest(session_epoch=-1, topics=[FetchTopic(topic="t", partitions=asked)])
    (target,) = cache.open(twice, VERSION).targets
    assert target.asked.fetch_offset == 2
