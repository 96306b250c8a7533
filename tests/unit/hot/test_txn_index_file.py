"""The aborted transactions of a range, from the index files of a real log."""

import pathlib
import random
from typing import Any

import pytest

from tests.log_setup import NOW_MS, LogSetup, make_batch
from tierbroker.base.errors import KafkaStorageError
from tierbroker.hot.log import Log
from tierbroker.hot.producer_state import AppendOrigin
from tierbroker.records import txn_index
from tierbroker.records.batch import read_header, walk
from tierbroker.records.control import ControlType, EndTxnMarker, build_marker_batch
from tierbroker.records.txn_index import AbortedTxn


@pytest.fixture
def setup(tmp_path: pathlib.Path) -> LogSetup:
    return LogSetup(str(tmp_path / "t-0"))


def write(log: Log, producer_id: int, count: int = 1) -> int:
    """Records in a transaction; answers their first offset."""
    known = log.producer_state.get(producer_id)
    first = 0 if known is None else known.last_sequence + 1
    batch = make_batch([b"x"] * count, producer_id=producer_id, sequence=first, transactional=True)
    (result,) = log.append([batch], 0)
    return result.base_offset  # type: ignore[union-attr]


def end(log: Log, producer_id: int, *, commit: bool = False) -> int:
    """The transaction's marker; answers its offset."""
    kind = ControlType.COMMIT if commit else ControlType.ABORT
    batch = bytearray(
        build_marker_batch(
            EndTxnMarker(kind, 0), timestamp_ms=NOW_MS, producer_id=producer_id, producer_epoch=0
        )
    )
    (result,) = log.append([(batch, read_header(batch))], 0, [AppendOrigin.COORDINATOR])
    return result.base_offset  # type: ignore[union-attr]


def within(log: Log, offset: int, max_bytes: int) -> list[AbortedTxn]:
    read = log.read(offset, max_bytes, log.log_end_offset)
    assert read.slice is not None
    found = log.aborted.within(log.segments, offset, read.slice, log.log_end_offset)
    read.slice.lease.release()
    return found


def test_an_entry_says_how_far_everything_is_decided(setup: LogSetup) -> None:
    log = setup.open()
    for producer_id in (1, 2, 3):
        write(log, producer_id)
    end(log, 2)
    end(log, 1)
    end(log, 3)
    assert log.aborted_transactions(0, 9) == [
        AbortedTxn(1, 0, 4, 2),
        AbortedTxn(2, 1, 3, 0),
        AbortedTxn(3, 2, 5, 6),
    ]
    # As long as one before it is open, an entry does not say that it is the last.
    assert log.aborted_transactions(1, 2) == log.aborted_transactions(0, 9)[:2]


def test_two_that_end_in_one_append_are_told_apart(setup: LogSetup) -> None:
    log = setup.open()
    write(log, 1)
    write(log, 2)
    batches: list[Any] = []
    for producer_id in (1, 2):
        batch = bytearray(
            build_marker_batch(
                EndTxnMarker(ControlType.ABORT, 0),
                timestamp_ms=NOW_MS,
                producer_id=producer_id,
                producer_epoch=0,
            )
        )
        batches.append((batch, read_header(batch)))
    log.append(batches, 0, [AppendOrigin.COORDINATOR] * 2)
    assert [txn.last_stable_offset for txn in log.aborted_transactions(0, 4)] == [1, 4]
    assert [txn.producer_id for txn in log.aborted_transactions(0, 2)] == [1, 2]


def test_a_marker_may_be_segments_away(setup: LogSetup) -> None:
    log = setup.open()
    write(log, 1)
    for _ in range(5):
        log.append([make_batch()], 0)
        log.roll()
    assert log.aborted_transactions(0, 1) == []
    marker = end(log, 1)
    assert log.aborted_transactions(0, 1) == [AbortedTxn(1, 0, marker, marker + 1)]
    assert log.aborted_transactions(3, 4) == log.aborted_transactions(0, 1)
    log.roll()
    assert log.aborted_transactions(marker, marker + 1) == log.aborted_transactions(0, 1)
    assert log.aborted_transactions(marker + 1, marker + 1) == []


def test_a_long_index_is_read_in_part(setup: LogSetup) -> None:
    setup.values["internal.segment.bytes"] = 10 << 20
    log = setup.open()
    written = []
    for _ in range(1500):
        first = write(log, 1)
        written.append(AbortedTxn(1, first, end(log, 1), first + 2))
    assert log.aborted_transactions(0, log.log_end_offset) == written
    assert log.aborted_transactions(2000, 2010) == written[1000:1005]
    assert within(log, 2001, 150)[0] == written[1000]
    assert len(within(log, 2001, 150)) < 10
    reads = setup.fs.calls.count("pread")
    assert len(log.aborted_transactions(2998, 3000)) == 1
    assert setup.fs.calls.count("pread") - reads < 20


def test_only_what_begins_in_the_part_that_is_read(setup: LogSetup) -> None:
    setup.values["internal.segment.bytes"] = 1500
    log = setup.open()
    for _ in range(100):
        write(log, 1)
        end(log, 1)
    everyone = log.aborted_transactions(0, log.log_end_offset)
    assert len(everyone) == 100
    for offset in range(0, 200, 7):
        found = within(log, offset, 400)
        assert found == everyone[offset // 2 : offset // 2 + len(found)]
        assert 0 < len(found) < 10


def test_a_reader_far_behind_does_not_wait_for_all_that_is_ahead(
    setup: LogSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup.values["internal.segment.bytes"] = 10 << 20
    log = setup.open()
    for _ in range(3000):
        write(log, 1)
        end(log, 1)
    everyone = log.aborted_transactions(0, log.log_end_offset)
    chunks: list[Any] = []
    overlapping = txn_index.overlapping

    def looked_at(data: Any, start: int, end: int) -> Any:
        chunks.append(data)
        return overlapping(data, start, end)

    monkeypatch.setattr(txn_index, "overlapping", looked_at)
    found = within(log, 1, 400)
    # Two times one chunk of the index, of which there are six.
    assert len(chunks) <= 2
    assert found == everyone[: len(found)]
    assert 2 <= len(found) < 10
    log.roll()
    for offset in range(0, 6000, 501):
        found = within(log, offset, 40_000)
        assert found == everyone[offset // 2 : offset // 2 + len(found)]
        read = log.read_bytes(offset, 40_000, log.log_end_offset)
        transactions = {header.base_offset // 2 for _, header in walk(read)}
        assert transactions <= {txn.first_offset // 2 for txn in found}
        assert len(found) < len(transactions) + 5


@pytest.mark.parametrize("clean", [True, False])
def test_a_start_finds_them_again(setup: LogSetup, clean: bool) -> None:
    log = setup.open()
    for _ in range(50):
        write(log, 1)
        end(log, 1)
    before = log.aborted_transactions(0, 100)
    if clean:
        log.close()
    else:
        log.flush()
        setup.crash(random.Random(1))
    again = setup.open(clean=clean, recovery_point=100 if clean else 0)
    assert again.aborted_transactions(0, 100) == before


def test_a_sealed_index_outlives_a_power_cut(setup: LogSetup) -> None:
    log = setup.open()
    write(log, 1)
    end(log, 1)
    log.roll()
    log.append([make_batch()], 0)
    log.flush()
    log.write_indexes()
    assert log.recovery_point == 3
    setup.crash(random.Random(1))
    again = setup.open(recovery_point=3)
    assert again.aborted_transactions(0, 3) == [AbortedTxn(1, 0, 1, 2)]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("was_durable", [True, False])
def test_what_a_start_wrote_anew_outlives_a_power_cut(
    setup: LogSetup, seed: int, was_durable: bool
) -> None:
    log = setup.open()
    write(log, 1)
    end(log, 1)
    log.roll()
    log.append([make_batch()], 0)
    if was_durable:
        log.flush()
    setup.kill()
    recovered = setup.open(recovery_point=0)
    # The checkpoint of recovery points comes by the clock, whatever else the start has to do.
    recovery_point = recovered.recovery_point
    assert recovery_point == 3
    setup.crash(random.Random(seed))
    again = setup.open(recovery_point=recovery_point)
    assert again.aborted_transactions(0, 3) == [AbortedTxn(1, 0, 1, 2)]


def test_truncation_forgets_the_markers_that_it_takes(setup: LogSetup) -> None:
    log = setup.open()
    write(log, 1)
    marker = end(log, 1)
    assert len(log.aborted_transactions(0, 2)) == 1
    log.truncate_to(marker)
    assert log.aborted_transactions(0, 2) == []
    assert log.producer_state.first_unstable_offset() == 0
    end(log, 1)
    assert len(log.aborted_transactions(0, 2)) == 1


def test_retention_takes_indexes_along(setup: LogSetup) -> None:
    log = setup.open()
    write(log, 1)
    end(log, 1)
    log.roll()
    write(log, 1)
    end(log, 1)
    log.advance_log_start(2)
    assert log.aborted_transactions(2, 4) == [AbortedTxn(1, 2, 3, 4)]
    assert log.aborted_transactions(0, 4) == [AbortedTxn(1, 2, 3, 4)]


def test_an_index_that_cannot_be_read_is_no_empty_list(setup: LogSetup) -> None:
    log = setup.open()
    write(log, 1)
    end(log, 1)
    path = pathlib.Path(setup.directory) / "00000000000000000000.txnindex"
    whole = path.read_bytes()
    path.write_bytes(b"\x00\x09" + whole[2:])
    with pytest.raises(KafkaStorageError):
        log.aborted_transactions(0, 2)
    path.write_bytes(whole[:-1])
    log.aborted.forget()
    with pytest.raises(KafkaStorageError, match="cut within an entry"):
        log.aborted_transactions(0, 2)
    log.aborted.forget()
    path.write_bytes(whole)
    assert len(log.aborted_transactions(0, 2)) == 1
    path.unlink()
    with pytest.raises(KafkaStorageError):
        log.aborted_transactions(0, 2)
