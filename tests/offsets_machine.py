"""Committed offsets against a dict: commits, deletions, expiry, transactions, crash and reload.

INV-10: an acknowledged group commit is superseded only by a later commit in log order. The model
is the log itself, read in the plainest way; the coordinator must say what it says, at every
moment, and no acknowledged change may be missing from it after a crash.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.group_broker import CONFIG, GroupBroker, errors_of
from tests.group_log import GroupLog
from tierbroker.base.errors import NotEnoughReplicasError
from tierbroker.groups.record_codec import (
    CommittedOffset,
    OffsetKey,
    decode_key,
    decode_offset_value,
)
from tierbroker.records.batch import read_header
from tierbroker.records.control import ControlType, read_marker
from tierbroker.records.record import iterate
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
    OffsetDeleteResponse,
)

if TYPE_CHECKING:
    from tierbroker.base.pending import Pending
    from tierbroker.wire.messages.offset_commit import OffsetCommitResponse

RETENTION_MS = 60_000
EXPIRING = replace(CONFIG, offsets_retention_ms=RETENTION_MS)

Key = tuple[str, str, int]

GROUPS = ("g", "gruppe-ü")
group_ids = st.sampled_from(GROUPS)
topics = st.sampled_from(["t", "u"])
partitions = st.integers(0, 1)
offsets = st.integers(0, (1 << 63) - 1)
texts = st.text(max_size=5)
producer_ids = st.integers(1, 2)


@dataclass(slots=True)
class _Entry:
    position: int
    committed: CommittedOffset


class LogModel:
    """What a log says, by the rules in their plainest form. Kafka's OffsetMetadataManager."""

    def __init__(self, batches: list[bytes]) -> None:
        self.offsets: dict[Key, _Entry] = {}
        self.pending: dict[int, dict[Key, _Entry]] = {}
        for batch in batches:
            self._apply(batch)

    def of(self, group_id: str) -> dict[tuple[str, int], int]:
        return {
            (topic, partition): entry.committed.offset
            for (group, topic, partition), entry in self.offsets.items()
            if group == group_id
        }

    def _apply(self, batch: bytes) -> None:
        header = read_header(batch)
        if header.control:
            self._end(header.producer_id, batch)
            return
        for record in iterate(batch):
            key = decode_key(record.key)
            if not isinstance(key, OffsetKey):
                continue
            if record.value is None:
                self.offsets.pop(key, None)
                for open_offsets in self.pending.values():
                    open_offsets.pop(key, None)
                continue
            entry = _Entry(record.offset, decode_offset_value(record.value))
            if header.transactional:
                self.pending.setdefault(header.producer_id, {})[key] = entry
            else:
                self.offsets[key] = entry

    def _end(self, producer_id: int, batch: bytes) -> None:
        marker = read_marker(batch)
        assert marker is not None
        ended = self.pending.pop(producer_id, {})
        if marker.control_type is ControlType.COMMIT:
            for key, entry in ended.items():
                if key not in self.offsets or self.offsets[key].position < entry.position:
                    self.offsets[key] = entry


class OffsetsMachine(RuleBasedStateMachine):
    """Many clients and administrators, a log that flushes when it likes, and crashes."""

    def __init__(self) -> None:
        super().__init__()
        self.log = self.make_log()
        self.broker = GroupBroker(self.log, EXPIRING)
        # What was acknowledged and not touched since by anything but a later commit.
        self.acknowledged: dict[Key, int] = {}
        self.waiting: list[tuple[Pending[OffsetCommitResponse], dict[Key, int]]] = []
        # What a deletion named that is on its way, and what is gone by one that was acknowledged.
        self.deleting: list[tuple[Pending, set[Key]]] = []
        self.deleted: set[Key] = set()

    def make_log(self) -> Any:
        """What the groups are kept in, empty."""
        return GroupLog(auto_flush=False)

    # --- clients

    @rule(
        group=group_ids,
        committed=st.dictionaries(st.tuples(topics, partitions), offsets, max_size=2),
        metadata=texts,
        epoch=st.integers(-1, 5),
        retention_ms=st.sampled_from([-1, -1, -1, RETENTION_MS * 2]),
        flushed=st.booleans(),
    )
    def commit(
        self,
        group: str,
        committed: dict[tuple[str, int], int],
        metadata: str,
        epoch: int,
        retention_ms: int,
        flushed: bool,
    ) -> None:
        done = self.broker.commit(
            group, committed, metadata=metadata, epoch=epoch, retention_ms=retention_ms
        )
        changes = {(group, *key): value for key, value in committed.items()}
        self.waiting.append((done, changes))
        self.deleted -= changes.keys()
        for _, keys in self.deleting:
            keys.difference_update(changes)
        if flushed:
            self.flush()

    @rule(group=group_ids)
    def delete_group(self, group: str) -> None:
        done = self.broker.coordinator.delete_groups([group])
        self._delete(done, lambda key: key[0] == group)

    @rule(group=group_ids, topic=topics, wanted=st.sets(partitions))
    def delete_offsets(self, group: str, topic: str, wanted: set[int]) -> None:
        asked = [OffsetDeleteRequestPartition(partition) for partition in sorted(wanted)]
        done = self.broker.coordinator.delete_offsets(
            OffsetDeleteRequest(group, [OffsetDeleteRequestTopic(topic, asked)])
        )
        self._delete(done, lambda key: key[:2] == (group, topic) and key[2] in wanted)

    @rule(topic=topics)
    def delete_topic(self, topic: str) -> None:
        self.broker.forget_topics(topic)
        self._forget(lambda key: key[1] == topic)

    @rule(ms=st.sampled_from([1, RETENTION_MS // 2, RETENTION_MS]))
    def expire(self, ms: int) -> None:
        self.broker.clock.advance(ms)
        before = self.log.batches(0)
        self.broker.coordinator.expire_offsets()
        self.broker.scheduler.end_turn()
        # What expired may go; that nothing on its way did is for the other checks to find.
        for batch in self.log.batches(0)[len(before) :]:
            for record in iterate(batch):
                key = decode_key(record.key)
                assert record.value is None
                if isinstance(key, OffsetKey):
                    assert not any(key in changes for _, changes in self.waiting)
                    self.acknowledged.pop(tuple(key), None)

    # --- transactions

    @rule(
        producer_id=producer_ids,
        group=group_ids,
        committed=st.dictionaries(st.tuples(topics, partitions), offsets, min_size=1),
        flushed=st.booleans(),
    )
    def commit_in_transaction(
        self, producer_id: int, group: str, committed: dict[tuple[str, int], int], flushed: bool
    ) -> None:
        self.broker.commit_transactional(group, committed, producer=(producer_id, 0))
        if flushed:
            self.flush()

    @rule(producer_id=producer_ids, commit=st.booleans(), flushed=st.booleans())
    def end_transaction(self, producer_id: int, commit: bool, flushed: bool) -> None:
        self.broker.end_transaction(producer_id, commit=commit)
        # An offset that it commits replaces what was acknowledged before; the model knows which.
        self.acknowledged.clear()
        self.waiting = [(done, {}) for done, _ in self.waiting]
        self.deleted.clear()
        self.deleting.clear()
        if flushed:
            self.flush()

    # --- the log

    @rule()
    def flush(self) -> None:
        self.log.flush()
        self._acknowledge()

    @rule()
    def refuse(self) -> None:
        self.log.fail(NotEnoughReplicasError())
        self._acknowledge()

    @rule()
    def crash(self) -> None:
        self.waiting.clear()
        self.deleting.clear()
        self.broker = self.broker.restarted(EXPIRING)

    @rule()
    def compact(self) -> None:
        self._settle()
        self.log.compact(0)

    # --- what must hold

    @invariant()
    def memory_is_what_the_flushed_log_says(self) -> None:
        model = LogModel(self.log.visible(0))
        for group in GROUPS:
            assert self.broker.committed(group) == model.of(group)
            unstable = {
                key[1:] for opened in model.pending.values() for key in opened if key[0] == group
            }
            answer = self.broker.fetch(group, {"t": [0, 1], "u": [0]}, require_stable=True)
            for topic in answer.topics:
                for found in topic.partitions:
                    is_unstable = (topic.name, found.partition_index) in unstable
                    assert is_unstable == (found.error_code == ErrorCode.UNSTABLE_OFFSET_COMMIT)

    @invariant()
    def no_acknowledged_commit_is_lost(self) -> None:
        for (group, topic, partition), offset in self.acknowledged.items():
            assert self.broker.committed(group)[topic, partition] == offset

    @invariant()
    def nothing_that_was_deleted_is_there(self) -> None:
        for group, topic, partition in self.deleted:
            assert (topic, partition) not in self.broker.committed(group)

    def _acknowledge(self) -> None:
        for done, keys in self.deleting:
            if done.done and _succeeded(done.result()):
                self.deleted |= keys
        self.deleting = [pair for pair in self.deleting if not pair[0].done]
        still = []
        for done, changes in self.waiting:
            if not done.done:
                still.append((done, changes))
            elif not any(errors_of(done).values()):
                self.acknowledged.update(changes)
        self.waiting = still

    def _settle(self) -> None:
        """Everything on its way arrives, and what waits for it as well."""
        for _ in range(3):
            self.log.flush()
        self._acknowledge()

    def _delete(self, done: "Pending", concerned: Callable[[Key], bool]) -> None:
        """What was acknowledged is not known any more; what was on its way must go as well."""
        known = {*self.acknowledged, *(key for _, changes in self.waiting for key in changes)}
        self.deleting.append((done, {key for key in known if concerned(key)}))
        self._forget(concerned)

    def _forget(self, concerned: Callable[[Key], bool]) -> None:
        self.acknowledged = {
            key: value for key, value in self.acknowledged.items() if not concerned(key)
        }
        self.waiting = [
            (done, {key: value for key, value in changes.items() if not concerned(key)})
            for done, changes in self.waiting
        ]


def _succeeded(result: object) -> bool:
    """Of DeleteGroups or of OffsetDelete; where the group was not known, nothing is told."""
    if isinstance(result, dict):
        return not any(result.values())
    assert isinstance(result, OffsetDeleteResponse)
    return result.error_code == ErrorCode.NONE
