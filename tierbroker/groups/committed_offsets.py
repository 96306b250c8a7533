"""Changes the committed offsets of one shard: commits, and the tombstones of whoever deletes.

A change goes to the journal first; the store learns of it, and the client is answered, once it is
flushed. What others decide on the store (which offsets a deletion has to name) must not overlook
commits that are still on their way: `is_writing` and `named` tell of those. The rules are those of
Kafka's OffsetMetadataManager.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import partial

from tierbroker.base.clock import Clock
from tierbroker.base.errors import ApiError
from tierbroker.base.ids import ZERO_UUID, Uuid
from tierbroker.base.pending import Pending
from tierbroker.groups.config import GroupConfig
from tierbroker.groups.errors import group_write_error
from tierbroker.groups.journal import Journal
from tierbroker.groups.memberships import Memberships
from tierbroker.groups.offsets import OffsetStore
from tierbroker.groups.ports import KeyValue, WriteDone
from tierbroker.groups.record_codec import (
    EXPIRING_METADATA_BYTES_MAX,
    LAST_TIMESTAMP,
    NO_TIMESTAMP,
    CommittedOffset,
    offset_key,
    offset_key_of,
    offset_key_prefix,
    offset_value,
)
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)
from tierbroker.wire.messages.txn_offset_commit import TxnOffsetCommitRequestPartition

NO_RETENTION = -1
"""The retention time of a commit that leaves it to the broker."""
TOMBSTONE_BATCH_BYTES = 500_000
"""A batch of tombstones stays below this, and so below any usual max.message.bytes."""
_TOMBSTONE_BYTES_MAX = 300
"""What a tombstone takes at most beside its group id: topic names have 249 characters."""

Done = Callable[[ErrorCode], None]
"""Gets NONE once a change is flushed and applied, or what its client is told."""
Change = tuple[str, int, CommittedOffset]
"""Topic, partition, what was committed."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What a commit comes to: records to write, changes to make then."""

    records: list[KeyValue] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)


class CommittedOffsets:
    """Loop thread only; the shard must be active."""

    def __init__(
        self,
        config: GroupConfig,
        store: OffsetStore,
        memberships: Memberships,
        journal: Journal,
        clock: Clock,
    ) -> None:
        self.store = store
        self._metadata_max = config.offset_metadata_max_bytes
        self._memberships = memberships
        self._journal = journal
        self._clock = clock
        # The commits of each group that are on their way, in log order.
        self._writing: dict[str, list[list[Change]]] = {}

    # --- commit

    def commit(self, request: OffsetCommitRequest) -> Pending[OffsetCommitResponse]:
        """All offsets of the request in one batch; answered when it is flushed.

        A topic's id is kept with the offset. A member of a group that does not exist gets
        GROUP_ID_NOT_FOUND, which versions below 9 do not know: the handler says it otherwise.
        """
        pending: Pending[OffsetCommitResponse] = Pending()
        error = self._memberships.check_commit(
            request.group_id,
            request.member_id,
            request.group_instance_id,
            request.generation_id_or_member_epoch,
        )
        if error is not ErrorCode.NONE:
            pending.resolve(refused_commit(request, error))
            return pending
        now_ms = self._clock.now_ms()
        retention_ms = request.retention_time_ms
        expire_ms = NO_TIMESTAMP
        if retention_ms != NO_RETENTION:
            expire_ms = min(now_ms + retention_ms, LAST_TIMESTAMP)
        decided = Decided()
        response = OffsetCommitResponse()
        for topic in request.topics:
            name, topic_id = topic.name, topic.topic_id
            errors = self.decide(
                decided, request.group_id, name, topic_id, topic.partitions, now_ms, expire_ms
            )
            answers = [OffsetCommitResponsePartition(number, error) for number, error in errors]
            response.topics.append(OffsetCommitResponseTopic(name, topic_id, answers))

        def done(error: ApiError | None) -> None:
            if error is None:
                for change in decided.changes:
                    self.store.put(request.group_id, *change)
                pending.resolve(response)
            else:
                pending.resolve(refused_commit(request, group_write_error(error)))

        if decided.records:
            tracked = self.track(request.group_id, decided.changes, done)
            self._journal.append(decided.records, tracked)
        else:
            pending.resolve(response)
        return pending

    def decide(
        self,
        decided: Decided,
        group_id: str,
        topic: str,
        topic_id: Uuid,
        partitions: Iterable[OffsetCommitRequestPartition | TxnOffsetCommitRequestPartition],
        now_ms: int,
        expire_ms: int,
    ) -> list[tuple[int, ErrorCode]]:
        """Decide on one topic: (partition, its error); what may be committed goes to `decided`."""
        prefix = offset_key_prefix(group_id, topic)
        records, changes = decided.records, decided.changes
        answers = []
        for asked in partitions:
            partition = asked.partition_index
            committed = CommittedOffset(
                asked.committed_offset,
                asked.committed_leader_epoch,
                asked.committed_metadata or "",
                now_ms,
                expire_ms,
                topic_id,
            )
            error = ErrorCode.NONE
            if self._is_too_long(committed):
                error = ErrorCode.OFFSET_METADATA_TOO_LARGE
            else:
                records.append((offset_key_of(prefix, partition), offset_value(committed)))
                changes.append((topic, partition, committed))
            answers.append((partition, error))
        return answers

    def _is_too_long(self, committed: CommittedOffset) -> bool:
        """Kafka counts the characters as Java does, in units of UTF-16."""
        text = committed.metadata
        if not text:
            return False
        units = len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2
        return units > self._metadata_max or (
            committed.expire_timestamp_ms != NO_TIMESTAMP
            and len(text.encode()) > EXPIRING_METADATA_BYTES_MAX
        )

    def track(self, group_id: str, changes: list[Change], then: WriteDone) -> WriteDone:
        """The changes are on their way until the write is over, which `then` is told."""
        writing = self._writing.setdefault(group_id, [])
        writing.append(changes)

        def done(error: ApiError | None) -> None:
            writing.remove(changes)
            if not writing and self._writing.get(group_id) is writing:
                del self._writing[group_id]
            then(error)

        return done

    # --- what deletions need

    def is_writing(self, group_id: str) -> bool:
        """Whether a commit of the group is on its way."""
        return group_id in self._writing

    def named(self, group_id: str) -> list[tuple[str, int]]:
        """(topic, partition) of all that a tombstone written now would delete.

        Offsets that are there, that are on their way, and that open transactions would commit.
        """
        found = dict.fromkeys(
            (topic, partition)
            for topic in self.store.topics(group_id)
            for partition in self.store.partitions(group_id, topic)
        )
        for changes in self._writing.get(group_id, ()):
            found.update(((topic, partition), None) for topic, partition, _ in changes)
        if self.store.pending.is_open(group_id):
            found.update(dict.fromkeys(self.store.pending.partitions(group_id)))
        return list(found)

    def groups_of_topics(self, names: Set[str]) -> list[str]:
        """The groups that have offsets of any of the topics, in any of these ways."""
        found = dict.fromkeys(self.store.groups_of_topics(names))
        for group_id, commits in self._writing.items():
            if any(topic in names for changes in commits for topic, _, _ in changes):
                found[group_id] = None
        return list(found)

    def committed_for(self, group_id: str, topics: Mapping[str, Uuid]) -> list[tuple[str, int]]:
        """(topic, partition) of what the group committed last for the topics (name, id).

        An offset that does not say for which topic it was made counts; one that was made, or is on
        its way, for another topic of the name does not.
        """
        made_for: dict[tuple[str, int], Uuid] = {}
        if self.store.pending.is_open(group_id):
            made_for.update(self.store.pending.topic_ids(group_id))
        for topic in self.store.topics(group_id):
            if topic in topics:
                for partition, committed in self.store.committed(group_id, topic):
                    made_for[topic, partition] = committed.topic_id
        for changes in self._writing.get(group_id, ()):
            for topic, partition, committed in changes:
                made_for[topic, partition] = committed.topic_id
        return [
            (topic, partition)
            for (topic, partition), topic_id in made_for.items()
            if topic in topics and topic_id in (topics[topic], ZERO_UUID)
        ]

    def write_tombstones(
        self,
        group_id: str,
        offsets: Sequence[tuple[str, int]],
        group_tombstone: KeyValue | None,
        done: Done,
    ) -> None:
        """Delete offsets (topic, partition) of a group, and the group itself if it is given.

        One batch, or several when it would be too large; the group goes with the last one. `done`
        gets the first error; what was written before it is deleted all the same.
        """
        per_batch = TOMBSTONE_BATCH_BYTES // (_TOMBSTONE_BYTES_MAX + len(group_id.encode()))
        chunks = [
            offsets[start : start + per_batch] for start in range(0, len(offsets), per_batch)
        ] or [offsets]
        errors: list[ErrorCode] = []

        def written(chunk: Sequence[tuple[str, int]], last: bool, error: ApiError | None) -> None:
            if error is None:
                for topic, number in chunk:
                    self.store.remove(group_id, topic, number)
                if last and group_tombstone is not None:
                    self._memberships.forget(group_id)
            errors.append(ErrorCode.NONE if error is None else group_write_error(error))
            if len(errors) == len(chunks):
                failed = [code for code in errors if code is not ErrorCode.NONE]
                done(failed[0] if failed else ErrorCode.NONE)

        for number, chunk in enumerate(chunks, start=1):
            last = number == len(chunks)
            records: list[KeyValue] = [
                (offset_key(group_id, topic, partition), None) for topic, partition in chunk
            ]
            if last and group_tombstone is not None:
                records.append(group_tombstone)
            if records:
                self._journal.append(records, partial(written, chunk, last))
            else:
                written(chunk, last, None)


def refused_commit(request: OffsetCommitRequest, error: ErrorCode) -> OffsetCommitResponse:
    """The same error for every partition, as Kafka answers."""
    return OffsetCommitResponse(
        topics=[
            OffsetCommitResponseTopic(
                topic.name,
                topic.topic_id,
                [
                    OffsetCommitResponsePartition(asked.partition_index, error)
                    for asked in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )
