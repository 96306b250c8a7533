import pytest

from tests.log_setup import NOW_MS, make_batch
from tierbroker.base.errors import InvalidProducerEpochError, OutOfOrderSequenceNumberError
from tierbroker.hot.producer_state import ProducerState, RememberedBatch
from tierbroker.records.batch import MAX_SEQUENCE, BatchHeader
from tierbroker.records.control import ControlType, EndTxnMarker
from tierbroker.records.txn_index import AbortedTxn

DAY_MS = 86_400_000


def header(
    sequence: int,
    count: int = 1,
    *,
    epoch: int = 0,
    producer_id: int = 1,
    transactional: bool = False,
    time: int = NOW_MS,
) -> BatchHeader:
    return make_batch(
        [b""] * count,
        times=time,
        producer_id=producer_id,
        producer_epoch=epoch,
        sequence=sequence,
        transactional=transactional,
    )[1]


def admit(state: ProducerState, offset: int, *headers: BatchHeader) -> list[RememberedBatch | None]:
    staged = state.stage()
    answers = []
    for batch in headers:
        answers.append(staged.admit(batch, offset))
        offset += batch.record_count
    state.commit(staged)
    return answers


@pytest.mark.parametrize("first", [0, 5, MAX_SEQUENCE])
def test_an_unknown_producer_may_begin_anywhere(first: int) -> None:
    state = ProducerState()
    assert admit(state, 0, header(first)) == [None]


def test_sequences_follow_each_other_and_wrap_to_0() -> None:
    state = ProducerState()
    admit(state, 0, header(MAX_SEQUENCE - 2, 2), header(MAX_SEQUENCE, 3), header(2))
    known = state.get(1)
    assert known is not None
    assert [(b.first_sequence, b.last_sequence) for b in known.batches] == [
        (MAX_SEQUENCE - 2, MAX_SEQUENCE - 1),
        (MAX_SEQUENCE, 1),
        (2, 2),
    ]


@pytest.mark.parametrize("sequence", [1, 3, 100, MAX_SEQUENCE])
def test_a_gap_or_a_step_back_is_out_of_order(sequence: int) -> None:
    state = ProducerState()
    admit(state, 0, header(0, 2))
    with pytest.raises(OutOfOrderSequenceNumberError):
        admit(state, 2, header(sequence))


def test_the_last_five_batches_are_recognised_when_they_are_repeated() -> None:
    state = ProducerState()
    batches = [header(2 * index, 2) for index in range(6)]
    admit(state, 100, *batches)
    for index in range(1, 6):
        (original,) = admit(state, 112, batches[index])
        assert original is not None
        assert (original.first_offset, original.last_offset) == (100 + 2 * index, 101 + 2 * index)
        assert original.timestamp_ms == NOW_MS
    with pytest.raises(OutOfOrderSequenceNumberError):
        admit(state, 112, batches[0])


def test_a_repeat_within_one_append_is_recognised() -> None:
    state = ProducerState()
    first, second = admit(state, 10, header(0, 2), header(0, 2))
    assert first is None
    assert second is not None
    assert second.first_offset == 10


def test_half_a_repeat_is_out_of_order() -> None:
    state = ProducerState()
    admit(state, 0, header(0, 4))
    with pytest.raises(OutOfOrderSequenceNumberError):
        admit(state, 4, header(0, 2))


def test_an_older_epoch_is_fenced() -> None:
    state = ProducerState()
    admit(state, 0, header(0, epoch=3))
    with pytest.raises(InvalidProducerEpochError):
        admit(state, 1, header(1, epoch=2))


def test_a_newer_epoch_begins_with_0() -> None:
    state = ProducerState()
    admit(state, 0, header(0, 5))
    with pytest.raises(OutOfOrderSequenceNumberError):
        admit(state, 5, header(5, epoch=1))
    assert admit(state, 5, header(0, epoch=1)) == [None]
    known = state.get(1)
    assert known is not None
    assert known.epoch == 1
    assert len(known.batches) == 1


def test_nothing_is_remembered_of_what_was_not_committed() -> None:
    state = ProducerState()
    admit(state, 0, header(0))
    staged = state.stage()
    staged.admit(header(1), 1)
    staged.admit(header(0, producer_id=2), 2)
    assert state.get(2) is None
    assert admit(state, 1, header(1)) == [None]


def test_only_the_last_batch_survives_a_snapshot() -> None:
    state = ProducerState()
    admit(state, 7, header(MAX_SEQUENCE, 2), header(1, 3))
    again = ProducerState()
    again.load(state.entries(), 12)
    known = again.get(1)
    assert known is not None
    assert known.batches == (RememberedBatch(1, 3, 9, 11, NOW_MS),)
    assert admit(again, 12, header(4)) == [None]
    (original,) = admit(again, 13, header(4))
    assert original is not None


def test_a_snapshot_keeps_the_first_sequence_across_the_wrap() -> None:
    state = ProducerState()
    admit(state, 7, header(MAX_SEQUENCE, 3))
    again = ProducerState()
    again.load(state.entries(), 10)
    (original,) = admit(again, 10, header(MAX_SEQUENCE, 3))
    assert original is not None
    assert original.first_offset == 7


def test_a_silent_producer_expires() -> None:
    state = ProducerState(DAY_MS)
    admit(state, 0, header(0), header(0, producer_id=2, time=NOW_MS + DAY_MS))
    assert state.expire(NOW_MS + DAY_MS) == []
    assert state.expire(NOW_MS + 2 * DAY_MS) == [1]
    assert len(state) == 1
    assert admit(state, 2, header(99)) == [None]


def test_a_producer_of_old_records_does_not_expire_while_it_writes() -> None:
    state = ProducerState(DAY_MS)
    old = NOW_MS - 100 * DAY_MS
    admit(state, 0, header(0, time=old))
    for step in range(1, 5):
        assert state.expire(NOW_MS + step * DAY_MS) == []
        admit(state, step, header(step, time=old))
    assert state.expire(NOW_MS + 5 * DAY_MS) == []
    assert state.expire(NOW_MS + 6 * DAY_MS) == [1]


def test_an_open_transaction_never_expires() -> None:
    state = ProducerState(DAY_MS)
    admit(state, 0, header(0, transactional=True))
    assert state.expire(NOW_MS + DAY_MS) == []
    assert state.expire(NOW_MS + 3 * DAY_MS) == []


def test_the_first_unstable_offset_is_that_of_the_earliest_open_transaction() -> None:
    state = ProducerState()
    admit(state, 5, header(0, transactional=True), header(0, producer_id=2, transactional=True))
    assert state.first_unstable_offset() == 5
    staged = state.stage()
    staged.end_transaction(header(-1), EndTxnMarker(ControlType.ABORT, 4), 7)
    assert state.aborted_by(staged) == [AbortedTxn(1, 5, 7, 6)]
    state.commit(staged)
    assert state.first_unstable_offset() == 6
    staged = state.stage()
    marker = header(-1, producer_id=2)
    staged.end_transaction(marker, EndTxnMarker(ControlType.COMMIT, 4), 8)
    assert state.aborted_by(staged) == []
    state.commit(staged)
    assert state.first_unstable_offset() is None
    assert admit(state, 9, header(1)) == [None]
