"""Commits and deletions that must not be: Kafka's error, and no state left behind.

Expectations are Apache Kafka 4.3's: `pytest --kafka-bootstrap` puts the same tests to it.
"""

from collections.abc import Callable

import pytest

from tests.broker.group_calls import (
    Member,
    check_unharmed,
    commit,
    commit_request,
    committed,
    is_absent,
    make_stable,
    subscription,
)
from tests.broker.wire_calls import topic_id_of
from tests.broker.wire_client import WireClient
from tierbroker.base.ids import Uuid
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.delete_groups import DeleteGroupsRequest
from tierbroker.wire.messages.offset_commit import OffsetCommitRequest
from tierbroker.wire.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)

OK = ErrorCode.NONE
OLD = ErrorCode.ILLEGAL_GENERATION
UNKNOWN_TOPIC = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def commit_of(member: Member, topic: str | Uuid, metadata: str) -> OffsetCommitRequest:
    return commit_request(
        member.group,
        {topic: {0: 1}},
        metadata=metadata,
        generation_id_or_member_epoch=member.generation,
        member_id=member.id,
    )


@pytest.mark.parametrize("version", range(2, 11))
def test_a_commit_with_a_generation_to_no_group(
    client: WireClient, group: str, topic: str, version: int
) -> None:
    key = topic if version < 10 else topic_id_of(client, topic)
    how = {"generation_id_or_member_epoch": 1, "member_id": "stranger", "version": version}
    expected = OLD if version < 9 else ErrorCode.GROUP_ID_NOT_FOUND
    assert commit(client, group, key, 1, **how) == expected
    assert is_absent(client, group)


@pytest.mark.parametrize("partition", [1, 99, -1, 2**31 - 1])
def test_a_commit_for_a_partition_that_is_not_there(
    client: WireClient, group: str, topic: str, partition: int
) -> None:
    assert commit(client, group, topic, 1, partition=partition) == UNKNOWN_TOPIC
    assert is_absent(client, group)


@pytest.mark.parametrize("version", range(2, 11))
@pytest.mark.parametrize("name", ["no-such-topic", "", "a b"])
def test_a_commit_for_an_unknown_topic(
    client: WireClient, group: str, version: int, name: str
) -> None:
    if version < 10:
        assert commit(client, group, name, 1, version=version) == UNKNOWN_TOPIC
    else:
        unknown = Uuid((name.encode() + b"\x07" * 16)[:16])
        error = commit(client, group, unknown, 1, version=version)
        assert error == ErrorCode.UNKNOWN_TOPIC_ID
    assert is_absent(client, group)


def test_a_member_commits_for_an_unknown_topic(
    client: WireClient, member: Member, topic: str
) -> None:
    assert member.commit("no-such-topic", 1) == UNKNOWN_TOPIC
    assert member.commit(topic, 1, partition=7) == UNKNOWN_TOPIC
    assert committed(client, member.group) == {}
    check_unharmed(client, member)


@pytest.mark.parametrize("length", [4097, 32_767])
@pytest.mark.parametrize("version", [2, 7, 8, 9, 10])
def test_metadata_that_is_too_long(
    client: WireClient, group: str, topic: str, length: int, version: int
) -> None:
    key = topic if version < 10 else topic_id_of(client, topic)
    error = commit(client, group, key, 1, version=version, metadata="x" * length)
    assert error == ErrorCode.OFFSET_METADATA_TOO_LARGE
    assert committed(client, group) == {}
    assert is_absent(client, group)


@pytest.mark.parametrize("length", [32_768, 1 << 20])
@pytest.mark.parametrize("version", [8, 9, 10])
def test_a_megabyte_of_metadata(
    client: WireClient, member: Member, topic: str, length: int, version: int
) -> None:
    """No text is longer than 32767 bytes: such a request is none, whatever its fields say."""
    key = topic if version < 10 else topic_id_of(client, topic)
    with client.another() as doomed:
        request = commit_of(member, key, "x" * length)
        doomed.send(request, version)
        doomed.wait_closed()
    assert committed(client, member.group) == {}
    check_unharmed(client, member)


@pytest.mark.parametrize("text", ["x" * 4096, "\u00fc" * 4096, "", None])
def test_metadata_counts_in_characters(
    client: WireClient, group: str, topic: str, text: str | None
) -> None:
    assert commit(client, group, topic, 1, metadata=text) == OK
    assert committed(client, group) == {(topic, 0): 1}


def test_a_commit_that_no_batch_can_hold(
    client: WireClient, group: str, make_topic: Callable[..., str]
) -> None:
    topic = make_topic(300)
    request = commit_request(group, {topic: dict.fromkeys(range(300), 1)}, metadata="x" * 4096)
    answer = client.call(request, 9)
    assert {place.error_code for entry in answer.topics for place in entry.partitions} == {
        ErrorCode.UNKNOWN_SERVER_ERROR
    }
    assert is_absent(client, group)


@pytest.mark.parametrize("offset", [-1, -7, 2**62])
def test_offsets_are_not_judged(client: WireClient, group: str, topic: str, offset: int) -> None:
    """Kafka keeps whatever offset it is told."""
    assert commit(client, group, topic, offset) == OK
    assert committed(client, group) == {(topic, 0): offset}


def test_a_group_with_members_is_not_deleted(
    client: WireClient, member: Member, topic: str
) -> None:
    assert member.commit(topic, 4) == OK
    for version in range(3):
        answer = client.call(DeleteGroupsRequest([member.group, "no-such-group"]), version)
        assert {each.group_id: each.error_code for each in answer.results} == {
            member.group: ErrorCode.NON_EMPTY_GROUP,
            "no-such-group": ErrorCode.GROUP_ID_NOT_FOUND,
        }
    assert committed(client, member.group) == {(topic, 0): 4}
    check_unharmed(client, member)


def test_offsets_of_a_subscribed_topic_are_not_deleted(
    client: WireClient, new_member: Callable[..., Member], topic: str
) -> None:
    subscriber = new_member(protocols={"range": subscription(topic)})
    make_stable(subscriber)
    assert subscriber.commit(topic, 4) == OK
    places = [OffsetDeleteRequestPartition(0), OffsetDeleteRequestPartition(5)]
    asked = [OffsetDeleteRequestTopic(topic, places), OffsetDeleteRequestTopic("gone", places[:1])]
    answer = client.call(OffsetDeleteRequest(subscriber.group, asked), 0)
    assert answer.error_code == OK
    assert {
        (entry.name, place.partition_index): place.error_code
        for entry in answer.topics
        for place in entry.partitions
    } == {
        (topic, 0): ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC,
        (topic, 5): UNKNOWN_TOPIC,
        ("gone", 0): UNKNOWN_TOPIC,
    }
    assert committed(client, subscriber.group) == {(topic, 0): 4}


def test_offsets_of_an_unknown_group(client: WireClient, group: str, topic: str) -> None:
    asked = [OffsetDeleteRequestTopic(topic, [OffsetDeleteRequestPartition(0)])]
    answer = client.call(OffsetDeleteRequest(group, asked), 0)
    assert (answer.error_code, answer.topics) == (ErrorCode.GROUP_ID_NOT_FOUND, [])
    assert committed(client, group, {topic: [0]}) == {(topic, 0): -1}
    assert is_absent(client, group)
