"""Committed offsets, within transactions and without, over a real log and the real cleaner.

What the groups know and what the log knows of open transactions is compared with the log's own
bytes, read by the plainest rules, through rolls, snapshots, stops, kills, power cuts, compaction.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from tests.group_broker import GroupBroker
from tests.group_disk import GroupDisk
from tests.offsets_machine import EXPIRING, LogModel, OffsetsMachine
from tierbroker.records.batch import read_header


class OnDisk(OffsetsMachine):
    """`OffsetsMachine` over a `GroupDisk`."""

    log: GroupDisk

    def make_log(self) -> GroupDisk:
        return GroupDisk()

    def teardown(self) -> None:
        self.log.close()

    @rule()
    def roll(self) -> None:
        self.log.roll()

    @rule(clean=st.booleans())
    def restart(self, clean: bool) -> None:
        """What was written stays, whether somebody was told of it or not."""
        self._forget_who_waits()
        if clean:
            self.log.stop_and_start()
        else:
            self.log.kill()
        self.broker = GroupBroker(self.log, EXPIRING, clock=self.broker.clock)

    @rule()
    def crash(self) -> None:
        self._forget_who_waits()
        self.broker = self.broker.restarted(EXPIRING)

    @rule()
    def compact(self) -> None:
        """Nothing that is open is touched, nothing that counts is lost."""
        self._settle()
        before = LogModel(self.log.batches(0))
        self.log.compact(0)
        after = LogModel(self.log.batches(0))
        assert after.offsets == before.offsets
        assert after.pending == before.pending

    def _forget_who_waits(self) -> None:
        """Nobody will hear of what is on its way; it may be there all the same."""
        for _, changes in self.waiting:
            for key in changes:
                self.acknowledged.pop(key, None)
        self.waiting.clear()
        self.deleting.clear()

    @invariant()
    def the_log_knows_who_is_open(self) -> None:
        opened: dict[int, int] = {}
        for batch in self.log.batches(0):
            header = read_header(batch)
            if header.control:
                opened.pop(header.producer_id, None)
            elif header.transactional:
                opened.setdefault(header.producer_id, header.base_offset)
        assert self.log.open_producers() == opened
        if opened:
            assert self.log.partition.last_stable_offset <= min(opened.values())


TestOnDisk = OnDisk.TestCase
TestOnDisk.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
