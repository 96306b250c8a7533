"""Cold reads: what is asked of the store, when, how much, and what comes of its answers."""

import pytest

from tests.cold_reading import PLACE, RECORDS, ColdReading
from tierbroker.base.errors import KafkaStorageError
from tierbroker.cold.errors import ObjectDamagedError, StoreUnavailableError
from tierbroker.records.txn_index import AbortedTxn

KIB = 1024
DOWN = StoreUnavailableError("the store is down")


def world(segments: int = 1, batches: int = 4, size_bytes: int = 200, **limits: int) -> ColdReading:
    made = ColdReading(**limits)
    for _ in range(segments):
        made.add(batches, size_bytes=size_bytes)
    return made


def whole(cold: ColdReading) -> list[int]:
    """Where all batches begin."""
    return [number * RECORDS for number in range(len(cold.batches))]


def scan(cold: ColdReading, offset: int = 0, max_bytes: int = 1 << 20) -> list[int]:
    """Read on to the end, releasing what the store holds back whenever nothing is here."""
    found: list[int] = []
    while offset <= cold.tier.end_offset:
        read = cold.read(offset, max_bytes)
        if read is None:
            assert cold.store.held, f"nothing is under way at offset {offset}"
            cold.store.release(1)
            continue
        found += cold.offsets(offset, max_bytes) or []
        offset = read.next_offset
    return found


def test_the_first_read_asks_for_the_tail_and_for_what_was_asked() -> None:
    cold = world(batches=40, size_bytes=50 * KIB)
    cold.store.hold("get_range")
    assert cold.read(20, 100 * KIB) is None
    assert [start for _, start, _ in cold.store.ranges] == [cold.segments[0].log_bytes]
    cold.store.release(1)
    assert cold.arrivals == [PLACE]
    assert cold.read(20, 100 * KIB) is None
    (_, start, length) = cold.store.ranges[-1]
    # An index names the last offset of a batch: what it knows at or below 20 is the one before.
    size = len(cold.batches[0])
    assert (start, length) == (4 * size, 2 * size)
    cold.store.release(1)
    read = cold.read(21, 100 * KIB)
    assert read is not None
    assert (bytes(read.records), read.next_offset) == (cold.batches[5], 24)
    assert (cold.reader.counts.misses, cold.reader.counts.hits) == (1, 1)


def test_with_the_index_here_a_read_is_one_request_and_when_spilled_three() -> None:
    cold = world(segments=3)
    cold.made.spill(2)
    cold.sync()
    assert scan(cold, 40) == [40, 44]
    assert len(cold.store.ranges) == 2
    cold = world(segments=3)
    cold.made.spill(2)
    cold.sync()
    assert scan(cold, 28)[0] == 28
    assert [key.split(".")[-1] for key, _, _ in cold.store.ranges[:3]] == ["man", "seg", "seg"]
    cold = world()
    cold.warm(0)
    assert scan(cold) == whole(cold)
    assert len(cold.store.ranges) == 1


def test_one_batch_comes_however_little_was_asked_for() -> None:
    cold = world()
    assert cold.offsets(5, 1) == [4]
    assert cold.offsets(5, 2 * len(cold.batches[1])) == [4, 8]


def test_a_batch_larger_than_a_piece_is_asked_for_once_more() -> None:
    cold = world(batches=3, size_bytes=9 * KIB, piece_bytes=KIB, depth=1)
    assert scan(cold) == whole(cold)
    lengths = [length for _, _, length in cold.store.ranges]
    assert len(cold.batches[0]) in lengths
    assert not cold.failures
    assert cold.reader.counts.failures == 0


def test_who_goes_on_finds_the_next_pieces_under_way_over_the_borders_of_segments() -> None:
    cold = world(segments=6, batches=8, size_bytes=KIB, piece_bytes=4 * KIB)
    cold.warm(*(segment.base_offset for segment in cold.segments))
    cold.store.hold("get_range")
    assert cold.read(0) is None
    cold.store.release(1)
    assert cold.offsets(0) == [0, 4, 8]
    assert len(cold.store.ranges) == 1 + 1
    offset = 12
    depths = []
    while offset <= cold.tier.end_offset:
        read = cold.read(offset)
        if read is None:
            cold.store.release(1)
            continue
        depths.append(cold.store.held)
        offset = read.next_offset
    assert max(depths) == 8
    assert len(cold.store.ranges) == len(set(cold.store.ranges))
    starts = {(key, start) for key, start, _ in cold.store.ranges}
    assert len(starts) == len(cold.store.ranges)


def test_what_somebody_waits_for_is_asked_for_once() -> None:
    cold = world()
    cold.store.hold("get_range")
    for _ in range(5):
        assert cold.read(0) is None
        assert cold.read(4) is None
    assert len(cold.store.ranges) == 1
    cold.store.release(1)
    assert cold.arrivals == [PLACE] * 1
    for _ in range(5):
        assert cold.read(0) is None
    assert len(cold.store.ranges) == 2
    # Nobody asks meanwhile: the download goes on, and the next read finds it.
    cold.store.release(1)
    assert cold.offsets(0) == whole(cold)
    assert len(cold.store.ranges) == 2


def test_what_is_damaged_on_its_way_is_read_once_more() -> None:
    def flipped(data: bytes) -> bytes:
        return data[:100] + bytes([data[100] ^ 1]) + data[101:]

    for times, fine in ((1, True), (2, False)):
        for first in (0, 1):  # the tail, or the records
            cold = world()
            if first:
                cold.warm(0)
            cold.store.hold("get_range")
            cold.store.changes.extend([flipped] * times)
            assert cold.read(0) is None
            cold.store.release()
            if fine:
                assert cold.offsets(0) == whole(cold)
            else:
                with pytest.raises(KafkaStorageError, match="orders-0 in the cold tier"):
                    cold.read(0)
                assert cold.offsets(0) == whole(cold), "the next read tries again"
            assert len(cold.store.ranges) - (not first) in (1 + times, 2 + times, 3)
            assert not cold.failures


def test_batches_of_another_place_are_not_taken_for_those_that_were_asked_for() -> None:
    cold = world(batches=8)
    cold.warm(0)
    size = len(cold.batches[0])
    object_bytes = cold.made.objects[cold.keys[0]]
    # The store gives a range that begins a batch later, and then one that begins one before.
    for shift in (size, -size):
        start = 3 * size + shift

        def shifted(data: bytes, start: int = start) -> bytes:
            return object_bytes[start : start + len(data)]

        cold.store.hold("get_range")
        cold.store.changes.extend([shifted] * 2)
        segment, tail = cold.segments[0], cold.reader._downloads.tail(cold.segments[0])
        assert tail is not None
        found = cold.reader._downloads.fetch_piece(cold.tier, segment, tail, 3 * size, 5 * size)
        cold.store.release()
        assert isinstance(found.error, ObjectDamagedError)


def test_a_tail_of_another_object_is_not_taken() -> None:
    cold = world(segments=10)
    other, segment = cold.made.objects[cold.keys[9]], cold.segments[8]
    assert len(other) == segment.object_bytes
    cold.store.inner.contents[cold.keys[8]] = other
    cold.store.hold("get_range")
    assert cold.read(segment.base_offset) is None
    cold.store.release()
    with pytest.raises(KafkaStorageError, match="says that it is"):
        cold.read(segment.base_offset)


def test_an_answer_that_is_too_short_is_damage() -> None:
    cold = world()
    cold.warm(0)
    cold.store.hold("get_range")
    cold.store.changes.extend([lambda data: data[:-1]] * 2)
    assert cold.read(0) is None
    cold.store.release()
    with pytest.raises(KafkaStorageError, match="bytes came"):
        cold.read(0)


def test_a_store_that_fails_is_told_once_and_then_asked_again() -> None:
    cold = world()
    cold.store.hold("get_range")
    cold.store.fail("get_range", DOWN)
    assert cold.read(0) is None
    cold.store.release()
    assert cold.arrivals == [PLACE]
    with pytest.raises(KafkaStorageError, match="the store is down"):
        cold.read(0)
    assert cold.offsets(0) == whole(cold)


def test_all_that_wait_hear_of_a_failure() -> None:
    cold = world()
    cold.store.hold("get_range")
    cold.store.fail("get_range", DOWN)
    assert cold.read(0) is None
    errors = []

    def woken() -> None:
        for offset in (0, 4, 8):
            try:
                cold.read(offset)
            except KafkaStorageError as error:
                errors.append(error)

    cold.on_arrival = woken
    cold.store.release()
    assert len(errors) == 3
    assert cold.offsets(0) == whole(cold), "the next one tries again"


def test_a_failure_ahead_of_a_reader_is_nobodys_and_is_tried_again() -> None:
    cold = world(segments=2, batches=8, size_bytes=KIB, piece_bytes=4 * KIB)
    cold.warm(0, 32)
    cold.store.hold("get_range")
    assert cold.read(0) is None
    cold.store.fail("get_range", DOWN, times=3)
    cold.store.release(1)
    cold.store.heal()
    assert cold.offsets(0) == [0, 4, 8]
    cold.store.fail("get_range", DOWN, times=1)
    cold.store.release()
    cold.store.heal()
    cold.store.hold("get_range")
    assert scan(cold, 12) == whole(cold)[3:]


def test_a_failure_of_one_reader_is_not_told_to_another_one() -> None:
    cold = world(segments=3)
    cold.store.hold("get_range")
    assert cold.read(0) is None
    cold.store.release(1)
    assert cold.read(0) is None
    cold.store.release(1)
    assert cold.offsets(0) == whole(cold)[:4]
    cold.store.fail("get_range", DOWN)
    assert cold.read(32) is None
    cold.store.release()
    assert cold.offsets(0) == whole(cold)[:4]
    with pytest.raises(KafkaStorageError):
        cold.read(32)


def test_an_object_that_vanished_is_looked_up_again() -> None:
    cold = world(segments=3)
    cold.store.hold("get_range")
    old = cold.tier
    assert cold.read(0) is None
    cold.retire(16)
    cold.store.release()
    assert cold.arrivals == [PLACE]
    assert cold.offsets(16) == whole(cold)[4:8]
    # The committed state says that it counts: that is an error, whoever knew of it.
    del cold.store.inner.contents[cold.keys[2]]
    cold.store.inner._facts.pop(cold.keys[2])
    cold.store.hold("get_range")
    cold.reader._downloads._described._values.clear()
    assert cold.read(40) is None
    cold.store.release()
    with pytest.raises(KafkaStorageError, match="no object"):
        cold.read(40)
    assert old is not cold.tier


def test_offsets_without_records_lead_on_to_the_next_ones() -> None:
    cold = ColdReading()
    cold.add(2, gap=5)
    cold.add(2, gap=3)
    assert cold.offsets(9) == [13, 17]
    read = cold.read(22)
    assert read is not None
    assert (len(read.records), read.next_offset, read.aborted) == (0, 24, ())


def test_aborted_transactions_are_those_that_touch_the_batches() -> None:
    aborted = (AbortedTxn(1, 0, 5, 6), AbortedTxn(2, 4, 11, 12), AbortedTxn(3, 9, 40, 41))
    cold = ColdReading()
    cold.add(4, aborted=aborted)
    size = 1
    for offset, wanted in ((0, (0,)), (4, (0, 1)), (8, (1, 2)), (12, (2,))):
        read = cold.read(offset, size)
        assert read is not None
        assert read.aborted == tuple(aborted[number] for number in wanted), offset


def test_many_readers_stay_within_the_memory_and_get_on() -> None:
    cache, piece = 64 * KIB, 8 * KIB
    cold = world(segments=30, batches=8, size_bytes=2 * KIB, piece_bytes=piece, cache_bytes=cache)
    cold.warm(*(segment.base_offset for segment in cold.segments))
    cold.store.hold("get_range")
    end = cold.tier.end_offset
    # Far from one another, so that none finds what another one has read.
    offsets = [segment.base_offset for segment in cold.segments[::3]]
    ends = [offset + 3 * 32 for offset in offsets]
    pieces = cold.reader._downloads._pieces
    peak = 0
    for turn in range(1000):
        for number, offset in enumerate(offsets):
            if offset >= ends[number] or (turn + number) % 3:
                continue  # its client is busy, or done
            read = cold.read(offset)
            if read is not None:
                offsets[number] = read.next_offset
        assert pieces.under_way_bytes <= cache // 2
        peak = max(peak, pieces.size_bytes + pieces.under_way_bytes)
        if min(offsets) > end - 32 * 30 and all(map(int.__ge__, offsets, ends)):
            break
        if cold.store.held:
            cold.store.release(1)
    else:
        raise AssertionError(f"they got to {offsets}")
    assert peak <= cache + piece
    assert cold.reader.counts.bytes < 1.5 * sum(map(len, cold.batches))


def test_what_is_needed_comes_before_what_may_be() -> None:
    cold = world(segments=8, batches=8, size_bytes=KIB, piece_bytes=2 * KIB, cache_bytes=16 * KIB)
    cold.warm(*(segment.base_offset for segment in cold.segments))
    cold.store.hold("get_range")
    assert [cold.read(number * 32) for number in range(8)] == [None] * 8
    begun = cold.store.held
    assert 1 <= begun < 8
    assert cold.reader._downloads._pieces.under_way_bytes <= 8 * KIB
    asked = [(key, start) for key, start, _ in cold.store.ranges]
    for number in range(8):
        cold.store.release(1)
        assert cold.read(number * 32) is not None
    asked = [key for key, _, _ in cold.store.ranges[:8]]
    assert len(set(asked)) == 8, "nobody's next piece comes before somebody's first"


def test_a_search_that_fails_is_told_to_who_asked_alone() -> None:
    cold = world()
    cold.store.fail("get_range", DOWN)
    found = cold.reader.offset_for_timestamp(cold.tier, PLACE, 5, 0)
    assert isinstance(found.error, KafkaStorageError)
    assert not cold.failures, "the node would stop"
    assert cold.reader.counts.requests == 1
