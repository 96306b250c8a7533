"""The part of a delta that edits topics and their partitions."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from tierbroker.base.ids import Uuid, uuid_text
from tierbroker.controller.errors import MetadataCorruptError
from tierbroker.controller.state.changes import PartitionChange
from tierbroker.controller.state.image import (
    MIGRATING_DIRECTORY,
    UNASSIGNED_DIRECTORY,
    LeaderRecoveryState,
    PartitionImage,
    TopicImage,
    TopicsImage,
)
from tierbroker.controller.state.result import MetadataRecord

T = TypeVar("T")

NO_LEADER_CHANGE = -2


def fold_name(name: str) -> str | None:
    """The name with '.' as '_' if it has either, else None (such a name collides with no other)."""
    if "." in name:
        return name.replace(".", "_")
    return name if "_" in name else None


class _TopicEdit:
    """A topic under change; `before` is None for one that the delta made."""

    __slots__ = ("before", "changed", "name", "partitions", "topic_id")

    def __init__(self, name: str, topic_id: Uuid, before: TopicImage | None) -> None:
        self.name = name
        self.topic_id = topic_id
        self.before = before
        self.partitions: list[PartitionImage] = [] if before is None else list(before.partitions)
        self.changed: set[int] = set()

    def image(self) -> TopicImage:
        return TopicImage(self.name, self.topic_id, tuple(self.partitions))

    def partition_changes(self, image: TopicImage) -> Iterable[PartitionChange]:
        assert self.before is not None
        old = self.before.partitions
        for number in sorted(self.changed):
            yield PartitionChange(image, number, old[number] if number < len(old) else None)


class TopicsDelta:
    """Edits on top of a TopicsImage; `finish` makes the next one."""

    def __init__(self, base: TopicsImage) -> None:
        self._base = base
        self._edits: dict[Uuid, _TopicEdit] = {}
        self._deleted: dict[Uuid, TopicImage] = {}
        self._names: dict[str, Uuid] = {}
        self._interned: dict[tuple[object, ...], tuple[object, ...]] = {}

    @property
    def empty(self) -> bool:
        """Nothing was edited."""
        return not self._edits and not self._deleted

    def create(self, name: str, topic_id: Uuid) -> None:
        """A TopicRecord: a topic without partitions yet."""
        taken = self._names.get(name)
        existing = self._base.by_name.get(name)
        if taken is not None or (existing is not None and existing.topic_id not in self._deleted):
            raise MetadataCorruptError(f"a record creates topic {name!r}, which exists")
        self._edits[topic_id] = _TopicEdit(name, topic_id, None)
        self._names[name] = topic_id

    def remove(self, topic_id: Uuid) -> str:
        """A RemoveTopicRecord; answers the topic's name."""
        edit = self._edits.pop(topic_id, None)
        before = edit.before if edit is not None else self._base.by_id.get(topic_id)
        if edit is not None:
            del self._names[edit.name]
            if before is None:
                return edit.name
        if before is None or topic_id in self._deleted:
            raise MetadataCorruptError(f"a record removes topic {uuid_text(topic_id)}: unknown")
        self._deleted[topic_id] = before
        return before.name

    def partition_count(self, topic_id: Uuid) -> int:
        """How many partitions the topic has by now, 0 if it is unknown."""
        edit = self._edits.get(topic_id)
        if edit is not None:
            return len(edit.partitions)
        before = None if topic_id in self._deleted else self._base.by_id.get(topic_id)
        return 0 if before is None else len(before.partitions)

    def put_partition(self, record: MetadataRecord) -> None:
        """A PartitionRecord: a new partition, or in a snapshot any partition."""
        edit = self._edit(Uuid(record.topic_id))
        replicas = self._intern(record.replicas)
        # Records older than version 1 carry no directories.
        directories = self._intern(record.directories or [MIGRATING_DIRECTORY] * len(replicas))
        isr = self._intern(record.isr)
        partition = PartitionImage(
            replicas=replicas,  # type: ignore[arg-type]  # interning keeps the element type
            directories=directories,  # type: ignore[arg-type]
            isr=isr,  # type: ignore[arg-type]
            leader=record.leader,
            leader_epoch=record.leader_epoch,
            partition_epoch=record.partition_epoch,
            removing_replicas=tuple(record.removing_replicas),
            adding_replicas=tuple(record.adding_replicas),
            eligible_leader_replicas=tuple(record.eligible_leader_replicas or ()),
            last_known_elr=tuple(record.last_known_elr or ()),
            leader_recovery_state=LeaderRecoveryState(record.leader_recovery_state),
        )
        number = record.partition_id
        if number == len(edit.partitions):
            edit.partitions.append(partition)
        elif 0 <= number < len(edit.partitions):
            edit.partitions[number] = partition
        else:
            raise MetadataCorruptError(
                f"partition {number} of topic {edit.name!r} comes before"
                f" partition {len(edit.partitions)}"
            )
        edit.changed.add(number)

    def change_partition(self, record: MetadataRecord) -> None:
        """A PartitionChangeRecord: absent fields stay (PartitionRegistration.merge in Kafka)."""
        edit = self._edit(Uuid(record.topic_id))
        number = record.partition_id
        if not 0 <= number < len(edit.partitions):
            raise MetadataCorruptError(f"a record changes {edit.name}-{number}, which is unknown")
        edit.partitions[number] = _merged(edit.partitions[number], record)
        edit.changed.add(number)

    def clear_elr(self, name: str) -> None:
        """A ClearElrRecord: of one topic, or of all for the empty name."""
        if name:
            topic_id = self._names.get(name)
            if topic_id is None:
                existing = self._base.by_name.get(name)
                if existing is None:
                    raise MetadataCorruptError(f"a record clears the ELR of unknown topic {name!r}")
                topic_id = existing.topic_id
            targets = [topic_id]
        else:
            targets = [
                topic.topic_id for topic in self._base if topic.topic_id not in self._deleted
            ]
            targets += [topic_id for topic_id in self._edits if topic_id not in self._base.by_id]
        for target in targets:
            self._clear_elr_of(target)

    def _clear_elr_of(self, topic_id: Uuid) -> None:
        edit = self._edit(topic_id)
        for number, old in enumerate(edit.partitions):
            if old.eligible_leader_replicas or old.last_known_elr:
                edit.partitions[number] = replace(
                    old, eligible_leader_replicas=(), last_known_elr=()
                )
                edit.changed.add(number)

    def finish(
        self,
    ) -> tuple[TopicsImage, tuple[TopicImage, ...], tuple[TopicImage, ...], list[PartitionChange]]:
        """(next image, topics created, topics deleted, changed partitions of the others)."""
        by_name: dict[str, TopicImage] = {}
        by_id: dict[bytes, TopicImage] = {}
        created: list[TopicImage] = []
        changes: list[PartitionChange] = []
        for edit in self._edits.values():
            image = edit.image()
            by_name[image.name] = image
            by_id[image.topic_id] = image
            if edit.before is None:
                created.append(image)
            else:
                changes.extend(edit.partition_changes(image))
        deleted = tuple(self._deleted.values())
        gone = [topic.name for topic in deleted]
        topics = TopicsImage(
            by_name=self._base.by_name.with_changes(by_name, gone),
            by_id=self._base.by_id.with_changes(by_id, self._deleted),
            by_folded_name=self._base.by_folded_name.with_changes(*self._folded(created, gone)),
        )
        return topics, tuple(created), deleted, changes

    def _folded(
        self, created: list[TopicImage], gone: list[str]
    ) -> tuple[dict[str, tuple[str, ...]], list[str]]:
        names: dict[str, list[str]] = {}

        def of(folded: str) -> list[str]:
            if folded not in names:
                names[folded] = list(self._base.by_folded_name.get(folded, ()))
            return names[folded]

        for name in gone:
            if (folded := fold_name(name)) is not None:
                of(folded).remove(name)
        for topic in created:
            if (folded := fold_name(topic.name)) is not None:
                of(folded).append(topic.name)
        kept = {folded: tuple(sorted(found)) for folded, found in names.items() if found}
        return kept, [folded for folded, found in names.items() if not found]

    def _edit(self, topic_id: Uuid) -> _TopicEdit:
        edit = self._edits.get(topic_id)
        if edit is None:
            before = self._base.by_id.get(topic_id)
            if before is None or topic_id in self._deleted:
                raise MetadataCorruptError(
                    f"a record concerns a partition of topic {uuid_text(topic_id)}, unknown here"
                )
            edit = self._edits[topic_id] = _TopicEdit(before.name, topic_id, before)
            self._names[before.name] = topic_id
        return edit

    def _intern(self, values: Iterable[object]) -> tuple[object, ...]:
        found = tuple(values)
        return self._interned.setdefault(found, found)


def _merged(old: PartitionImage, record: MetadataRecord) -> PartitionImage:
    leads_anew = record.leader != NO_LEADER_CHANGE
    recovery = record.leader_recovery_state
    return PartitionImage(
        replicas=_or(record.replicas, old.replicas),
        directories=_merged_directories(old, record),
        isr=_or(record.isr, old.isr),
        leader=record.leader if leads_anew else old.leader,
        leader_epoch=old.leader_epoch + leads_anew,
        partition_epoch=old.partition_epoch + 1,
        removing_replicas=_or(record.removing_replicas, old.removing_replicas),
        adding_replicas=_or(record.adding_replicas, old.adding_replicas),
        eligible_leader_replicas=_or(record.eligible_leader_replicas, old.eligible_leader_replicas),
        last_known_elr=_or(record.last_known_elr, old.last_known_elr),
        leader_recovery_state=(
            old.leader_recovery_state if recovery < 0 else LeaderRecoveryState(recovery)
        ),
    )


def _or(changed: list[T] | None, old: tuple[T, ...]) -> tuple[T, ...]:
    return old if changed is None else tuple(changed)


def _merged_directories(old: PartitionImage, record: MetadataRecord) -> tuple[Uuid, ...]:
    if record.directories is not None:
        return tuple(Uuid(entry) for entry in record.directories)
    if record.replicas is None:
        return old.directories
    known = dict(zip(old.replicas, old.directories, strict=True))
    return tuple(known.get(replica, UNASSIGNED_DIRECTORY) for replica in record.replicas)
