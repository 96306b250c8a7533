"""Producers that initialize, add, commit, abort and vanish, while writes fail and nodes crash.

What must hold whatever happens: a decision is flushed before its first marker and before anybody
hears of it, is never taken back, and reaches every partition before it counts as complete; all
markers of a transaction agree; who was fenced is never told that all is well; no id waits for ever.
"""

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.group_log import GroupLog
from tests.transaction_world import MarkedPartitions, TransactionWorld
from tierbroker.base.errors import KafkaStorageError, NotEnoughReplicasError
from tierbroker.base.ids import TopicPartition
from tierbroker.base.pending import Pending
from tierbroker.records.batch import walk
from tierbroker.records.record import iterate
from tierbroker.transactions.config import TransactionConfig
from tierbroker.transactions.ports import Marker, MarkerDone
from tierbroker.transactions.record_codec import (
    decode_key,
    decode_value,
    transaction_key,
    transaction_value,
)
from tierbroker.transactions.state import TransactionState as S
from tierbroker.transactions.values import TransactionValues
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.end_txn import EndTxnResponse
from tierbroker.wire.messages.init_producer_id import InitProducerIdResponse

IDS = ("s", "t")
PROCESSES = (("s", 0), ("t", 0), ("t", 1))
PARTITIONS = tuple(TopicPartition("p", number) for number in range(3))
EXPIRY_MS = 1_000_000
TIMEOUT_MS = 60_000

FOLLOWERS = {
    None: {S.EMPTY},
    S.EMPTY: {S.EMPTY, S.ONGOING, S.PREPARE_ABORT},
    S.ONGOING: {S.ONGOING, S.PREPARE_COMMIT, S.PREPARE_ABORT},
    S.PREPARE_COMMIT: {S.COMPLETE_COMMIT},
    S.PREPARE_ABORT: {S.COMPLETE_ABORT},
    S.COMPLETE_COMMIT: {S.EMPTY, S.ONGOING, S.PREPARE_ABORT},
    S.COMPLETE_ABORT: {S.EMPTY, S.ONGOING, S.PREPARE_ABORT},
}
"""Which states may follow in the log."""

processes = st.sampled_from(PROCESSES)


class WatchedLog(GroupLog):
    """Looks at every record in the moment in which it becomes visible."""

    def __init__(self, *, auto_flush: bool) -> None:
        super().__init__(auto_flush=auto_flush)
        self.last: dict[str, TransactionValues] = {}
        """What the flushed log says of each transactional id."""
        self.marked: dict[str, set[TopicPartition]] = {}
        """The partitions that have their marker of a transaction that is decided."""
        self._seen = 0

    def flush(self, partition: int | None = None) -> None:
        for batch in self.batches(0)[self._seen :]:
            for position, _ in walk(batch):
                for record in iterate(batch[position:]):
                    transactional_id = decode_key(record.key)
                    assert transactional_id is not None
                    self._check(transactional_id, record.value)
        self._seen = len(self.batches(0))
        super().flush(partition)

    def _check(self, transactional_id: str, value: bytes | None) -> None:
        before = self.last.get(transactional_id)
        if value is None:
            assert before is not None
            assert before.state.is_quiet
            del self.last[transactional_id]
            return
        values = decode_value(value)
        assert values.state in FOLLOWERS[before.state if before else None], (before, values)
        if before is not None:
            if before.state.is_decided:
                assert self.marked.pop(transactional_id) >= before.partitions
            same_id = values.producer_id == before.producer_id
            assert not same_id or values.producer_epoch >= before.producer_epoch
            if values.state is S.ONGOING and before.state is S.ONGOING:
                assert values.partitions >= before.partitions
            if values.state.is_decided:
                assert values.partitions == before.partitions
        if values.state.is_decided:
            self.marked[transactional_id] = set()
        self.last[transactional_id] = values


class WatchedPartitions(MarkedPartitions):
    """Looks at every marker in the moment in which it is written."""

    def __init__(self, log: WatchedLog) -> None:
        super().__init__()
        self._log = log

    def write(self, partition: TopicPartition, marker: Marker, done: MarkerDone) -> None:
        owners = [
            (name, values)
            for name, values in self._log.last.items()
            if values.producer_id == marker.producer_id
        ]
        ((name, values),) = owners
        assert values.state is (S.PREPARE_COMMIT if marker.commit else S.PREPARE_ABORT)
        assert values.producer_epoch == marker.producer_epoch
        assert partition in values.partitions

        def written(error: ErrorCode) -> None:
            if error is ErrorCode.NONE or error is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
                self._log.marked[name].add(partition)
            done(error)

        super().write(partition, marker, written)


@dataclass
class Process:
    """What one producer knows: it has one request at a time."""

    name: str
    known: tuple[int, int] | None = None
    busy: Pending[object] | None = None
    added: bool = False
    """It has added partitions to a transaction that it did not end."""


class Transactions(RuleBasedStateMachine):
    @initialize(
        at_once=st.booleans(),
        hold=st.booleans(),
        level=st.sampled_from((2, 2, 1, 0)),
        modern=st.booleans(),
        worn=st.booleans(),
        ids_wait=st.booleans(),
    )
    def begin(
        self, at_once: bool, hold: bool, level: int, modern: bool, worn: bool, ids_wait: bool
    ) -> None:
        """`worn`: the epochs of the first producer ids are nearly used up."""
        self.log = WatchedLog(auto_flush=at_once)
        self.world = TransactionWorld(
            TransactionConfig(partitions=1, id_expiration_ms=EXPIRY_MS),
            feature_level=level,
            log=self.log,
            markers=WatchedPartitions(self.log),
            load=False,
        )
        if worn:
            now_ms = self.world.clock.now_ms()
            for number, name in enumerate(IDS):
                old = TransactionValues(number, 0x7FFF - 4, TIMEOUT_MS, update_ms=now_ms)
                record = (transaction_key(name), transaction_value(old, level))
                self.log.append(0, [record], lambda _: None)
            self.log.flush()
        self.world.producer_ids.hold = ids_wait
        self.world.load()
        self.world.markers.hold = hold
        # Clients speak the new protocol only where the cluster has it.
        self.version = 2 if modern and level == 2 else 0
        self.processes = {key: Process(key[0]) for key in PROCESSES}
        self.owner: dict[str, Process] = {}
        """Who initialized last: everybody before is fenced."""
        self.waiting: list[Pending[object]] = []

    # --- what producers do

    def _send(self, process: Process, pending: Pending[object]) -> None:
        process.busy = pending
        self.waiting.append(pending)

        def answered(_: object) -> None:
            if process.busy is pending:
                process.busy = None

        pending.on_done(answered)

    @rule(
        key=processes,
        partitions=st.sets(st.sampled_from(PARTITIONS), min_size=1),
        commit=st.booleans(),
        flush=st.sampled_from((True, True, True, False)),
        steps=st.integers(1, 6),
    )
    def work(
        self,
        key: tuple[str, int],
        partitions: set[TopicPartition],
        commit: bool,
        flush: bool,
        steps: int,
    ) -> None:
        """What a producer does next that is not out for trouble."""
        for _ in range(steps):
            self._work(key, partitions, commit)
            if flush:
                self.world.producer_ids.grant()
                self.log.flush()

    def _work(self, key: tuple[str, int], partitions: set[TopicPartition], commit: bool) -> None:
        process = self.processes[key]
        if process.known is None:
            self._init(key, False)
        elif process.added:
            self._end(key, commit)
        else:
            self._add(key, partitions)

    @rule(key=processes, goes_on=st.booleans())
    def init(self, key: tuple[str, int], goes_on: bool) -> None:
        self._init(key, goes_on)

    def _init(self, key: tuple[str, int], goes_on: bool) -> None:
        process = self.processes[key]
        if process.busy is not None:
            return
        expected = process.known if goes_on and process.known else (-1, -1)
        pending = self.world.init(process.name, timeout_ms=TIMEOUT_MS, expected=expected)

        def answered(done: Pending[InitProducerIdResponse]) -> None:
            answer = done.result()
            if answer.error_code != ErrorCode.NONE:
                if answer.error_code == ErrorCode.PRODUCER_FENCED:
                    process.known = None
                return
            process.known = (answer.producer_id, answer.producer_epoch)
            process.added = False
            self.owner[process.name] = process
            last = self.log.last[process.name]
            assert (last.producer_id, last.producer_epoch) == process.known
            assert last.state is S.EMPTY

        pending.on_done(answered)
        self._send(process, pending)

    def _add(self, key: tuple[str, int], partitions: set[TopicPartition]) -> None:
        process = self.processes[key]
        if process.busy is not None or process.known is None:
            return
        pending = self.world.add(
            process.known, *partitions, transactional_id=process.name, version=self.version
        )

        def answered(done: Pending[ErrorCode]) -> None:
            if done.result() is ErrorCode.NONE:
                self._is_owner(process)
                process.added = True
                last = self.log.last[process.name]
                assert last.state is S.ONGOING
                assert last.partitions >= partitions

        pending.on_done(answered)
        self._send(process, pending)

    @rule(key=processes, commit=st.booleans())
    def end(self, key: tuple[str, int], commit: bool) -> None:
        self._end(key, commit)

    def _end(self, key: tuple[str, int], commit: bool) -> None:
        process = self.processes[key]
        if process.busy is not None or process.known is None:
            return
        version = 5 if self.version else 3
        pending = self.world.end(
            process.known, commit=commit, transactional_id=process.name, version=version
        )

        def answered(done: Pending[EndTxnResponse]) -> None:
            answer = done.result()
            if answer.error_code != ErrorCode.NONE:
                return
            self._is_owner(process)
            process.added = False
            if self.version:
                process.known = (answer.producer_id, answer.producer_epoch)
            decided = (S.PREPARE_COMMIT, S.COMPLETE_COMMIT)
            if not commit:
                decided = (S.PREPARE_ABORT, S.COMPLETE_ABORT)
            assert self.log.last[process.name].state in decided

        pending.on_done(answered)
        self._send(process, pending)

    def _is_owner(self, process: Process) -> None:
        """Nobody who was fenced hears NONE."""
        assert self.owner.get(process.name) is process

    @rule(key=processes)
    def verify(self, key: tuple[str, int]) -> None:
        process = self.processes[key]
        if process.known is None:
            return
        answer = self.world.verify(process.known, *PARTITIONS, transactional_id=process.name)
        if isinstance(answer, ErrorCode):
            assert answer is not ErrorCode.NONE
            return
        known = self.log.last[process.name].partitions
        assert {one for one, error in answer.items() if error is ErrorCode.NONE} == known

    # --- what happens to the coordinator

    @rule()
    def flush(self) -> None:
        self.log.flush()

    @rule(kind=st.sampled_from(("crash", "fail", "offline", "refuse", "abort", "expire")))
    def trouble(self, kind: str) -> None:
        match kind:
            case "crash":
                for process in self.processes.values():
                    process.busy = None
                self.waiting.clear()
                self.world.crash()
            case "fail":
                self.log.fail(NotEnoughReplicasError())
            case "offline":
                self.log.fail(KafkaStorageError())
            case "refuse":
                self.log.refuse = NotEnoughReplicasError()
                for key in PROCESSES:
                    self._work(key, set(PARTITIONS), True)
                self.log.refuse = None
            case "abort":
                self.world.advance(TIMEOUT_MS + 1)
                self.world.coordinator.abort_timed_out()
                self.world.run_turns()
            case "expire":
                self.world.advance(EXPIRY_MS)
                self.world.coordinator.expire_ids()
                self.world.run_turns()

    @rule(count=st.integers(1, 3))
    def markers_done(self, count: int) -> None:
        markers = self.world.markers
        markers.release(min(count, len(markers.waiting)))

    @rule(
        partition=st.sampled_from(PARTITIONS),
        error=st.sampled_from(
            (
                ErrorCode.NOT_LEADER_OR_FOLLOWER,
                ErrorCode.NOT_ENOUGH_REPLICAS,
                ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
            )
        ),
    )
    def marker_fails(self, partition: TopicPartition, error: ErrorCode) -> None:
        self.world.markers.answers.setdefault(partition, []).append(error)

    @rule(ms=st.sampled_from((50, 100)))
    def time_passes(self, ms: int) -> None:
        self.world.advance(ms)

    @rule()
    def ids_are_granted(self) -> None:
        self.world.producer_ids.grant()

    # --- what must hold

    @invariant()
    def what_is_told_is_flushed(self) -> None:
        if not hasattr(self, "world"):
            return
        for name in IDS:
            told = self.world.describe(name)
            last = self.log.last.get(name)
            if last is None:
                assert told.error_code == ErrorCode.TRANSACTIONAL_ID_NOT_FOUND
                continue
            assert told.error_code == ErrorCode.NONE
            assert told.transaction_state == last.state.label
            assert (told.producer_id, told.producer_epoch) == (
                last.producer_id,
                last.producer_epoch,
            )

    @invariant()
    def totals_are_what_a_walk_finds(self) -> None:
        if not hasattr(self, "world"):
            return
        (shard,) = self.world.coordinator._shards.values()
        transactions = shard.ledger.transactions
        now_ms = self.world.clock.now_ms()
        ages = [
            now_ms - one.values.start_ms
            for one in transactions.values()
            if one.values.state is S.ONGOING
        ]
        expected = (len(transactions), len(ages), max(ages, default=0))
        assert self.world.coordinator.totals() == expected

    def teardown(self) -> None:
        """When nothing fails any more, every request is answered and every decision complete."""
        if not hasattr(self, "world"):
            return
        world = self.world
        self.log.refuse = None
        world.markers.hold = world.producer_ids.hold = False
        world.markers.answers.clear()
        for _ in range(8):
            world.producer_ids.grant()
            self.log.flush()
            world.markers.release()
            world.advance(200)
        assert all(pending.done for pending in self.waiting)
        for values in self.log.last.values():
            assert not values.state.is_decided
        for name in IDS:
            answer = world.init(name)
            for _ in range(4):
                self.log.flush()
                world.advance(200)
            assert answer.result().error_code in (
                ErrorCode.NONE,
                ErrorCode.CONCURRENT_TRANSACTIONS,
            )
            again = world.init(name)
            self.log.flush()
            assert again.result().error_code == ErrorCode.NONE


TestTransactions = Transactions.TestCase
TestTransactions.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
