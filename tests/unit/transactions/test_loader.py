"""What a log says is known after loading; what it does not say is never guessed."""

import time

import pytest

from tests.transaction_world import ID, A, B, TransactionWorld
from tierbroker.base.clock import SystemClock
from tierbroker.base.errors import KafkaStorageError, NotLeaderOrFollowerError
from tierbroker.records.builder import build_batch
from tierbroker.records.compression import Codec
from tierbroker.records.record import Record
from tierbroker.transactions.record_codec import transaction_key, transaction_value
from tierbroker.transactions.state import TransactionState
from tierbroker.transactions.values import TransactionValues
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.list_transactions import ListTransactionsRequest

ONGOING = TransactionValues(
    7, 3, 60_000, TransactionState.ONGOING, frozenset((A, B)), start_ms=5, update_ms=6
)


def record(name: str, values: TransactionValues | None, level: int = 2) -> Record:
    value = None if values is None else transaction_value(values, level)
    return Record(0, 1_000, transaction_key(name), value)


def test_the_last_record_counts() -> None:
    world = TransactionWorld(load=False)
    old = TransactionValues(7, 2, 60_000)
    batch = build_batch(
        [record("t", old), record("u", old), record("t", ONGOING, level=0), record("u", None)],
        codec=Codec.ZSTD,
    )
    world.log.append_batch(0, batch)
    world.log.flush(0)
    world.load()
    told = world.describe("t")
    assert (told.transaction_state, told.producer_id, told.producer_epoch) == ("Ongoing", 7, 3)
    assert [(topic.topic, topic.partitions) for topic in told.topics] == [("a", [0]), ("b", [0])]
    assert world.describe("u").error_code == ErrorCode.TRANSACTIONAL_ID_NOT_FOUND


def test_records_of_other_kinds_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    world = TransactionWorld(load=False)
    world.log.append_batch(0, build_batch([Record(0, 1, b"\x00\x09x", b"y"), record(ID, ONGOING)]))
    world.log.append_marker(0, 99, commit=True)
    world.load()
    assert world.state() == "Ongoing"
    assert "1 of type 9" in caplog.text


@pytest.mark.parametrize("position", [20, -1])
def test_a_log_that_cannot_be_read_leaves_its_ids_unavailable(
    position: int, caplog: pytest.LogCaptureFixture
) -> None:
    world = TransactionWorld(load=False)
    world.log.append_batch(0, build_batch([record(ID, ONGOING)]))
    world.log.flush(0)
    world.log.damage(0, 0, position)
    world.load()
    assert world.coordinator.loaded
    assert world.describe().error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE
    assert world.init().result().error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE
    assert "cannot be loaded at offset 0" in caplog.text


def test_offsets_at_the_end_that_no_batch_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut may take the last batches and leave a later, empty segment."""
    world = TransactionWorld(load=False)
    world.log.append_batch(0, build_batch([record(ID, ONGOING)]))
    world.log.flush(0)
    monkeypatch.setattr(world.log, "bounds", lambda partition: (0, 5))
    world.load()
    assert world.state() == "Ongoing"


def test_a_partition_that_goes_away_meanwhile_is_no_fault(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = TransactionWorld(load=False)

    def bounds(_: int) -> tuple[int, int]:
        raise NotLeaderOrFollowerError

    monkeypatch.setattr(world.log, "bounds", bounds)
    world.load()
    assert world.describe().error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE
    assert not caplog.records


def test_a_disk_that_fails_is_one(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = TransactionWorld(load=False)

    def bounds(_: int) -> tuple[int, int]:
        raise KafkaStorageError("no")

    monkeypatch.setattr(world.log, "bounds", bounds)
    world.load()
    assert "cannot be loaded" in caplog.text


def test_while_it_loads_requests_are_told_so() -> None:
    world = TransactionWorld(load=False)
    world.log.append_batch(0, build_batch([record(ID, ONGOING)]))
    world.log.flush(0)
    world.coordinator.load(0, 0)
    loading = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
    assert not world.coordinator.loaded
    assert world.init().result().error_code == loading
    assert world.add((7, 3), A).result() is loading
    assert world.verify((7, 3), A) is loading
    assert world.end((7, 3)).result().error_code == loading
    assert world.describe().error_code == loading
    refused = world.coordinator.list_transactions(ListTransactionsRequest(), 2).result()
    assert refused.error_code == loading
    world.run_turns()
    assert world.coordinator.loaded
    assert world.verify((7, 3), A) == {A: ErrorCode.NONE}


def test_ten_thousand_ids_are_loaded_quickly_and_in_slices() -> None:
    world = TransactionWorld(load=False)
    world.clock = SystemClock()  # type: ignore[assignment]
    for start in range(0, 10_000, 100):
        records = [record(f"id-{number}", ONGOING) for number in range(start, start + 100)]
        world.log.append_batch(0, build_batch(records))
        world.log.append_batch(0, build_batch(records))
    world.log.flush(0)
    world.coordinator = world._coordinator()
    world.coordinator.load(0, 0)
    begun = time.thread_time()
    slowest = world.slowest_turn()
    assert time.thread_time() - begun < 2
    assert slowest < 0.05  # 20 ms on a machine with nothing else to do
    assert len(world.listed().transaction_states) == 10_000
