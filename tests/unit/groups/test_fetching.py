"""OffsetFetch: what is said of offsets that are there, are not, or may change."""

from tests.group_broker import GroupBroker
from tierbroker.base.ids import Uuid
from tierbroker.groups.record_codec import CommittedOffset, offset_key, offset_value
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.offset_fetch import (
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopics,
)

OLD_ID, NEW_ID = Uuid(bytes([1]) * 16), Uuid(bytes([2]) * 16)
NOTHING = OffsetFetchResponsePartitions(0, -1, -1, "", ErrorCode.NONE)


def pending_broker() -> GroupBroker:
    """Partitions 0 and 1 are committed; an open transaction wants to change 1 and to add 2."""
    broker = GroupBroker()
    broker.commit("g", {("t", 0): 10, ("t", 1): 11})
    broker.log.place_transactional(
        0,
        77,
        [
            (offset_key("g", "t", number), offset_value(CommittedOffset(50 + number)))
            for number in (1, 2)
        ],
    )
    return broker.restarted()


def test_offset_epoch_and_metadata_are_answered() -> None:
    broker = GroupBroker()
    broker.commit("g", {("t", 0): 5}, metadata="note", epoch=3)
    assert broker.fetch("g", {"t": [0]}) == OffsetFetchResponseGroup(
        "g",
        [
            OffsetFetchResponseTopics(
                "t", partitions=[OffsetFetchResponsePartitions(0, 5, 3, "note")]
            )
        ],
    )


def test_no_commit_is_no_error() -> None:
    broker = GroupBroker()
    broker.commit("g", {("t", 1): 5})
    for group_id, topic in (("g", "t"), ("g", "unknown"), ("unknown", "t")):
        answer = broker.fetch(group_id, {topic: [0]})
        assert answer == OffsetFetchResponseGroup(
            group_id, [OffsetFetchResponseTopics(topic, partitions=[NOTHING])]
        )


def test_null_topics_are_all_and_no_topics_are_none() -> None:
    broker = GroupBroker()
    broker.commit("g", {("t", 1): 5, ("u", 0): 6})
    assert broker.committed("g") == {("t", 1): 5, ("u", 0): 6}
    assert broker.fetch("g", {}).topics == []
    assert broker.fetch("unknown").topics == []


def test_partitions_are_answered_as_often_as_they_are_asked_for() -> None:
    broker = GroupBroker()
    broker.commit("g", {("t", 1): 5})
    (topic,) = broker.fetch("g", {"t": [1, 0, 1]}).topics
    assert [answer.committed_offset for answer in topic.partitions] == [5, -1, 5]


def test_a_member_id_and_epoch_make_no_difference() -> None:
    broker = GroupBroker()
    broker.commit("g", {("t", 1): 5})
    answer = broker.coordinator.fetch_offsets(
        OffsetFetchRequestGroup("g", "somebody", 9, None), require_stable=False
    )
    assert answer == broker.fetch("g")


def test_unstable_offsets_are_refused_where_stable_ones_are_required() -> None:
    broker = pending_broker()
    (topic,) = broker.fetch("g", {"t": [0, 1, 2, 3]}, require_stable=True).topics
    unstable = ErrorCode.UNSTABLE_OFFSET_COMMIT
    assert topic.partitions == [
        OffsetFetchResponsePartitions(0, 10),
        OffsetFetchResponsePartitions(1, -1, error_code=unstable),
        OffsetFetchResponsePartitions(2, -1, error_code=unstable),
        OffsetFetchResponsePartitions(3, -1),
    ]
    (topic,) = broker.fetch("g", require_stable=True).topics
    assert [answer.error_code for answer in topic.partitions] == [0, unstable]


def test_offsets_of_open_transactions_are_invisible() -> None:
    broker = pending_broker()
    assert broker.committed("g") == {("t", 0): 10, ("t", 1): 11}


def test_they_count_after_the_commit_marker_and_never_after_the_abort_marker() -> None:
    for commit, expected in ((True, [10, 51, 52]), (False, [10, 11])):
        broker = pending_broker()
        broker.log.append_marker(0, 77, commit=commit)
        again = broker.restarted()
        assert list(again.committed("g").values()) == expected
        (topic,) = again.fetch("g", {"t": [0, 1]}, require_stable=True).topics
        assert [answer.error_code for answer in topic.partitions] == [0, 0]


def test_an_offset_of_an_earlier_topic_of_that_name_does_not_exist_by_id() -> None:
    broker = GroupBroker()
    broker.commit("g", {("t", 0): 5}, topic_id=OLD_ID)
    broker.commit("g", {("t", 1): 6})
    for topic_id, expected in ((OLD_ID, [5, 6]), (NEW_ID, [-1, 6])):
        answer = broker.coordinator.fetch_offsets(
            OffsetFetchRequestGroup("g", topics=[OffsetFetchRequestTopics("t", topic_id, [0, 1])]),
            require_stable=False,
        )
        (topic,) = answer.topics
        assert topic.topic_id == topic_id
        assert [answer.committed_offset for answer in topic.partitions] == expected


def test_a_shard_that_is_loading_never_says_that_there_is_no_offset() -> None:
    broker = GroupBroker()
    broker.commit("g", {("t", 0): 5})
    again = GroupBroker(broker.log, load=False)
    assert again.fetch("g", {"t": [0]}) == OffsetFetchResponseGroup(
        "g", error_code=ErrorCode.NOT_COORDINATOR
    )
    again.coordinator.load(0)
    assert again.fetch("g", {"t": [0]}) == OffsetFetchResponseGroup(
        "g", error_code=ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
    )
    again.scheduler.end_turn()
    assert again.committed("g") == {("t", 0): 5}
