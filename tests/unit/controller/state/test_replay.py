"""Replaying records, with metadata transactions."""

import pytest

from tierbroker.base.ids import Uuid
from tierbroker.controller.errors import MetadataCorruptError
from tierbroker.controller.records.abort_transaction_record import AbortTransactionRecord
from tierbroker.controller.records.begin_transaction_record import BeginTransactionRecord
from tierbroker.controller.records.end_transaction_record import EndTransactionRecord
from tierbroker.controller.records.partition_change_record import PartitionChangeRecord
from tierbroker.controller.records.partition_record import PartitionRecord
from tierbroker.controller.records.remove_topic_record import RemoveTopicRecord
from tierbroker.controller.records.topic_record import TopicRecord
from tierbroker.controller.state.image import MetadataImage
from tierbroker.controller.state.replay import Replayer
from tierbroker.controller.state.result import MetadataRecord


def topic(name: str) -> TopicRecord:
    return TopicRecord(name, Uuid(name.encode() * 16))


def feed(replayer: Replayer, start: int, *records: MetadataRecord) -> list[set[str]]:
    """The topics of the images that became visible."""
    for offset, record in enumerate(records, start=start):
        replayer.replay(record, offset, 1)
    taken = replayer.take(start + len(records) - 1, 1)
    return [set(image.topics.by_name) for image, _ in taken]


def test_without_transactions_one_image_is_made() -> None:
    assert feed(Replayer(MetadataImage()), 0, topic("a"), topic("b")) == [{"a", "b"}]


def test_a_transaction_is_visible_when_it_ends() -> None:
    replayer = Replayer(MetadataImage())
    assert feed(replayer, 0, topic("a"), BeginTransactionRecord("x"), topic("b")) == [{"a"}]
    assert replayer.in_transaction
    assert feed(replayer, 3, topic("c")) == []
    assert feed(replayer, 4, EndTransactionRecord(), topic("d")) == [
        {"a", "b", "c"},
        {"a", "b", "c", "d"},
    ]


def test_an_aborted_transaction_never_was() -> None:
    replayer = Replayer(MetadataImage())
    seen = feed(
        replayer, 0, topic("a"), BeginTransactionRecord("x"), topic("b"), AbortTransactionRecord()
    )
    assert seen[-1] == {"a"}
    assert feed(replayer, 4, topic("b")) == [{"a", "b"}]


def test_offsets_without_records_move_the_image() -> None:
    ((image, _),) = Replayer(MetadataImage()).take(5, 2)
    assert (image.offset, image.epoch) == (5, 2)


@pytest.mark.parametrize(
    "records",
    [
        (EndTransactionRecord(),),
        (AbortTransactionRecord(),),
        (BeginTransactionRecord("x"), BeginTransactionRecord("y")),
        (topic("a"), topic("a")),
        (RemoveTopicRecord(Uuid(b"z" * 16)),),
        (PartitionRecord(0, Uuid(b"z" * 16)),),
        (topic("a"), PartitionRecord(1, Uuid(b"a" * 16))),
    ],
)
def test_records_that_contradict_each_other(records: tuple[MetadataRecord, ...]) -> None:
    with pytest.raises(MetadataCorruptError):
        feed(Replayer(MetadataImage()), 0, *records)


def test_a_topic_that_changed_is_removed_and_made_anew_in_one_reading() -> None:
    """As after a restart: leader epochs were bumped, then somebody recreated the topic."""
    first, second = Uuid(b"1" * 16), Uuid(b"2" * 16)
    replayer = Replayer(MetadataImage())
    feed(replayer, 0, TopicRecord("a", first), PartitionRecord(0, first, replicas=[1], isr=[1]))
    change = PartitionChangeRecord(partition_id=0, topic_id=first, leader=1)
    anew = (TopicRecord("a", second), PartitionRecord(0, second, replicas=[1], isr=[1]))
    for number, record in enumerate((change, RemoveTopicRecord(first), *anew), start=2):
        replayer.replay(record, number, 1)
    ((image, changes),) = replayer.take(5, 1)
    found = image.topic("a")
    assert found is not None
    assert found.topic_id == second
    assert set(image.topics.by_id) == {second}
    assert [topic.topic_id for topic in changes.topics_deleted] == [first]
