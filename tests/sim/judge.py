"""What everybody was told, held against what anybody is told later."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tierbroker.records.record import Record


@dataclass
class Known:
    """One record that somebody was shown or had acknowledged."""

    value: bytes | None
    key: bytes | None
    timestamp_ms: int
    acknowledged: bool


@dataclass
class TopicMemory:
    """All that is known of one partition."""

    records: dict[int, Known] = field(default_factory=dict)
    offsets: dict[bytes, int] = field(default_factory=dict)
    may_start_at: int = 0
    """Records below may be gone: retention or DeleteRecords took them."""
    damaged: list[tuple[int, int]] = field(default_factory=list)
    """Offsets (from, to) that the disk lost: nobody can read them, nobody may be shown others."""

    compacted: bool = False
    """Of a key, all but the last value may go."""

    def is_superseded(self, offset: int) -> bool:
        key = self.records[offset].key
        return self.compacted and any(
            later > offset and known.key == key for later, known in self.records.items()
        )

    def is_damaged(self, offset: int) -> bool:
        return any(first <= offset < end for first, end in self.damaged)


class Judge:
    """Checks INV-1, INV-2, INV-3 and INV-8 as clients see them."""

    def __init__(self) -> None:
        self.topics: dict[str, TopicMemory] = {}
        self.acknowledgements = 0
        self.reads = 0

    def topic(self, name: str) -> TopicMemory:
        return self.topics.setdefault(name, TopicMemory())

    def acknowledged(self, topic: str, base_offset: int, records: Sequence[Record]) -> None:
        """A producer was told that the records are there for good."""
        assert base_offset >= 0, f"{topic}: acknowledged without an offset"
        for slot, record in enumerate(records):
            self._learn(topic, base_offset + slot, record).acknowledged = True
            self.acknowledgements += 1

    def read(self, topic: str, start: int, end: int, records: Sequence[Record]) -> None:
        """A consumer was shown all that stands at `start` to `end` (exclusive)."""
        memory = self.topic(topic)
        for record in records:
            self._learn(topic, record.offset, record)
            self.reads += 1
        shown = {record.offset for record in records}
        if memory.compacted:
            return  # what supersedes it may stand further on: judged in the end
        expected = (offset for offset in range(start, end) if offset in memory.records)
        missing = [offset for offset in expected if offset not in shown]
        assert not missing, f"{topic}: offsets {missing} were there before and are not any more"

    def _learn(self, topic: str, offset: int, record: Record) -> Known:
        memory = self.topic(topic)
        known = memory.records.get(offset)
        if known is None:
            known = Known(record.value, record.key, record.timestamp_ms, False)
            memory.records[offset] = known
        assert known.value == record.value, (
            f"{topic}: offset {offset} was {known.value!r} and is {record.value!r} now"
        )
        assert record.value is not None
        first = memory.offsets.setdefault(record.value, offset)
        assert first == offset, f"{topic}: {record.value!r} stands at {first} and at {offset}"
        return known

    def may_be_forgotten(self, topic: str, records: Sequence[Record]) -> bool:
        """Whether retention may have taken a batch whose acknowledgement was lost.

        A snapshot keeps the last batch of a producer alone, as Kafka's does: where the log is gone
        after a crash, an earlier one that comes again is out of order.
        """
        memory = self.topic(topic)
        first = memory.offsets.get(records[0].value or b"", -1)
        return max(first, 0) < memory.may_start_at

    def check_start(self, topic: str, start: int) -> None:
        """The partition begins at `start` now: somebody must have allowed that."""
        allowed = self.topic(topic).may_start_at
        assert start <= allowed, f"{topic}: it begins at {start}, only up to {allowed} may be gone"

    def delete_records(self, topic: str, offset: int) -> None:
        memory = self.topic(topic)
        memory.may_start_at = max(memory.may_start_at, offset)

    def retention(self, topic: str, start: int, now_ms: int, retention_ms: int) -> None:
        """Retention moved the start: every record below must have been old enough."""
        memory = self.topic(topic)
        for offset in range(memory.may_start_at, start):
            known = memory.records.get(offset)
            if known is not None:
                age_ms = now_ms - known.timestamp_ms
                assert age_ms > retention_ms, (
                    f"{topic}: the record at {offset} went at an age of {age_ms} ms, "
                    f"retention.ms is {retention_ms}"
                )
        memory.may_start_at = max(memory.may_start_at, start)

    def damaged(self, topic: str, first: int, end: int) -> None:
        """The disk changed a byte of the batch with these offsets."""
        self.topic(topic).damaged.append((first, end))

    def behind_damage(self, topic: str, offset: int) -> int:
        """Where a reader goes on that was refused at `offset`: that must be for the damage."""
        ends = [end for first, end in self.topic(topic).damaged if first <= offset < end]
        assert ends, f"{topic}: offset {offset} is refused, though its batch is sound"
        return max(ends)

    def check_all(self, topic: str, found: Sequence[Record], start: int) -> None:
        """In the end every acknowledged record is there."""
        there = {record.offset for record in found}
        memory = self.topic(topic)
        lost = sorted(
            offset
            for offset, known in memory.records.items()
            if (known.acknowledged or memory.compacted)
            and offset >= start
            and offset not in there
            and not memory.is_damaged(offset)
            and not memory.is_superseded(offset)
        )
        assert not lost, f"{topic}: acknowledged and lost: {lost[:10]}"
