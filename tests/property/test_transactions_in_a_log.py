"""Transactions in a log against a plain list, through rolls, kills, power cuts and truncation.

What a read_committed consumer sees is computed twice: from the list, and from the log with its
list of aborted transactions, as consumers do it.
"""

import random
import shutil
import tempfile
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.log_setup import NOW_MS, LogSetup, make_batch, read_batches
from tierbroker.hot.log import AppendResult, Log
from tierbroker.hot.producer_state import AppendOrigin
from tierbroker.records.batch import read_header
from tierbroker.records.control import ControlType, EndTxnMarker, build_marker_batch, read_marker
from tierbroker.records.record import iterate

PRODUCERS = (1, 2, 3)
PLAIN = -1


@dataclass
class Entry:
    """One batch of the model: records, or a marker."""

    offset: int
    end: int
    producer_id: int
    values: tuple[bytes, ...]
    marker: ControlType | None = None
    marker_of: int = -1
    """First offset of the transaction that the marker ends, -1 when it ends none."""


class TransactionsAgainstList(RuleBasedStateMachine):
    log: Log

    @initialize(segment_bytes=st.sampled_from([600, 1500, 20_000]))
    def begin(self, segment_bytes: int) -> None:
        self.root = tempfile.mkdtemp(prefix="log-")
        self.setup = LogSetup(f"{self.root}/t-0")
        self.setup.values["internal.segment.bytes"] = segment_bytes
        self.log = self.setup.open()
        self.entries: list[Entry] = []
        self.start = 0
        self.flushed = 0
        self.checkpoint = 0
        self.count = 0

    def teardown(self) -> None:
        if hasattr(self, "log"):
            self.consumers_agree()
            self.setup.kill()
            shutil.rmtree(self.root)

    @property
    def end(self) -> int:
        return self.entries[-1].end if self.entries else self.floor

    floor = 0
    """Where the log goes on when nothing is left in it."""

    # -- what can happen -----------------------------------------------------------------------

    @rule(producer=st.sampled_from((PLAIN, *PRODUCERS)), size=st.integers(1, 3))
    def write(self, producer: int, size: int) -> None:
        values = tuple(b"%d" % (self.count + slot) for slot in range(size))
        self.count += size
        batch = make_batch(
            values,
            producer_id=producer,
            sequence=self.next_sequence(producer),
            transactional=producer != PLAIN,
        )
        (result,) = self.log.append([batch], 0)
        assert isinstance(result, AppendResult), result
        assert result.base_offset == self.end
        self.entries.append(Entry(self.end, self.end + size, producer, values))

    @rule(producer=st.sampled_from(PRODUCERS), commit=st.booleans())
    def end_transaction(self, producer: int, commit: bool) -> None:
        kind = ControlType.COMMIT if commit else ControlType.ABORT
        marker = EndTxnMarker(kind, 0)
        batch = bytearray(
            build_marker_batch(marker, timestamp_ms=NOW_MS, producer_id=producer, producer_epoch=0)
        )
        (result,) = self.log.append([(batch, read_header(batch))], 0, [AppendOrigin.COORDINATOR])
        assert isinstance(result, AppendResult), result
        first = self.open_transactions().get(producer, -1)
        self.entries.append(Entry(self.end, self.end + 1, producer, (), kind, first))

    @rule()
    def roll(self) -> None:
        self.log.roll()

    @rule(checkpoint=st.booleans())
    def flush(self, checkpoint: bool) -> None:
        self.log.flush()
        self.flushed = self.end
        if checkpoint:
            self.log.write_indexes()
            self.checkpoint = self.log.recovery_point

    @rule()
    def stop_and_start(self) -> None:
        self.log.close()
        self.flushed = self.checkpoint = self.end
        self.log = self.setup.open(
            clean=True, recovery_point=self.checkpoint, log_start_offset=self.start
        )

    @rule()
    def kill_and_start(self) -> None:
        self.setup.kill()
        self.log = self.setup.open(recovery_point=self.checkpoint, log_start_offset=self.start)
        assert self.log.log_end_offset == self.end
        self.flushed = self.end

    @rule(seed=st.integers(0, 2**32))
    def cut_power_and_start(self, seed: int) -> None:
        self.setup.crash(random.Random(seed))
        self.log = self.setup.open(recovery_point=self.checkpoint, log_start_offset=self.start)
        assert self.log.log_end_offset >= self.flushed
        self.forget_from(self.log.log_end_offset)
        self.flushed = self.end

    @rule(data=st.data())
    def truncate(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from([e.offset for e in self.entries] or [self.end]))
        offset = max(offset, self.start)
        self.log.truncate_to(offset)
        self.forget_from(self.log.log_end_offset)
        self.start = min(self.start, self.end)
        self.checkpoint = min(self.checkpoint, self.log.recovery_point)
        self.flush(checkpoint=True)

    @rule(data=st.data())
    def delete_records(self, data: st.DataObject) -> None:
        # Only what is stable goes, as Kafka's DeleteRecords goes up to the high watermark at most;
        # an open transaction whose start is gone could not be judged by this model.
        stable = min([self.end, *self.open_transactions().values()])
        if stable <= self.start:
            return
        offset = data.draw(st.integers(self.start, stable))
        self.flush(checkpoint=True)
        self.log.advance_log_start(offset)
        self.start = offset

    # -- what must hold ------------------------------------------------------------------------

    @invariant()
    @precondition(lambda self: hasattr(self, "log"))
    def open_transactions_agree(self) -> None:
        assert self.log.log_end_offset == self.end
        first = min(self.open_transactions().values(), default=None)
        assert self.log.producer_state.first_unstable_offset() == first

    @rule(data=st.data())
    def aborted_agree(self, data: st.DataObject) -> None:
        low = data.draw(st.integers(self.start, self.end))
        high = data.draw(st.integers(low, self.end))
        found = self.log.aborted_transactions(low, high)
        expected = sorted(
            (entry.marker_of, entry.producer_id)
            for entry in self.entries
            if entry.marker is ControlType.ABORT
            and entry.marker_of >= 0
            and entry.marker_of < high
            and entry.offset >= low
        )
        assert [(txn.first_offset, txn.producer_id) for txn in found] == expected

    @rule()
    def consumers_agree(self) -> None:
        assert self.read_committed() == self.committed_of_the_list()

    def read_committed(self) -> list[bytes]:
        """What a consumer makes of the log: it skips from an abort's first offset to its marker."""
        unstable = self.log.producer_state.first_unstable_offset()
        end = self.end if unstable is None else unstable
        waiting = self.log.aborted_transactions(self.start, end)
        aborting: set[int] = set()
        seen: list[bytes] = []
        for data, header in read_batches(self.log, self.start):
            if header.base_offset >= end:
                break
            while waiting and waiting[0].first_offset <= header.last_offset:
                aborting.add(waiting.pop(0).producer_id)
            if header.control:
                marker = read_marker(data)
                if marker is not None and marker.control_type is ControlType.ABORT:
                    aborting.discard(header.producer_id)
            elif not (header.transactional and header.producer_id in aborting):
                records = [r for r in iterate(memoryview(data)) if r.offset >= self.start]
                seen += [record.value for record in records if record.value is not None]
        return seen

    # -- the model -----------------------------------------------------------------------------

    def open_transactions(self) -> dict[int, int]:
        """First offset of the open transaction of each producer."""
        opened: dict[int, int] = {}
        for entry in self.entries:
            if entry.marker is not None:
                opened.pop(entry.producer_id, None)
            elif entry.producer_id != PLAIN:
                opened.setdefault(entry.producer_id, entry.offset)
        return opened

    def committed_of_the_list(self) -> list[bytes]:
        end = min([self.end, *self.open_transactions().values()])
        aborted: set[int] = set()
        for slot, entry in enumerate(self.entries):
            if entry.marker is ControlType.ABORT and entry.marker_of >= 0:
                aborted |= {
                    earlier
                    for earlier in range(slot)
                    if self.entries[earlier].producer_id == entry.producer_id
                    and self.entries[earlier].offset >= entry.marker_of
                }
        return [
            value
            for slot, entry in enumerate(self.entries)
            if slot not in aborted and entry.offset < end
            for at, value in enumerate(entry.values)
            if entry.offset + at >= self.start
        ]

    def next_sequence(self, producer: int) -> int:
        if producer == PLAIN:
            return -1
        return sum(len(e.values) for e in self.entries if e.producer_id == producer)

    def forget_from(self, offset: int) -> None:
        self.entries = [entry for entry in self.entries if entry.end <= offset]
        self.floor = offset


TransactionsAgainstList.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestTransactionsAgainstList = TransactionsAgainstList.TestCase
