"""Offsets of groups within transactions, over the wire, in both protocols.

Expectations are Apache Kafka 4.3's: `pytest --kafka-bootstrap` puts the same tests to it.
"""

from collections.abc import Callable
from typing import Any

import pytest

from tests.broker.group_calls import commit, committed, wait_until
from tests.broker.transaction_calls import TransactionalProducer, stable_offset
from tests.broker.wire_client import WireClient
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.delete_groups import DeleteGroupsRequest

OK = ErrorCode.NONE


# --- traps 17 and 21: offsets of a group within a transaction


def test_no_commit_is_no_error(client: WireClient, topic: str, group: str) -> None:
    assert stable_offset(client, group, topic) == (OK, -1, -1)


@pytest.mark.parametrize("commits", [True, False])
def test_offsets_wait_for_the_end_of_the_transaction(
    client: WireClient,
    topic: str,
    group: str,
    producer: TransactionalProducer,
    commits: bool,
) -> None:
    assert commit(client, group, topic, 3) == OK
    assert producer.begin_with_offset(group, topic, 7) == OK
    unstable = ErrorCode.UNSTABLE_OFFSET_COMMIT
    assert stable_offset(client, group, topic) == (unstable, -1, -1)
    assert committed(client, group, {topic: [0]}) == {(topic, 0): 3}
    assert producer.end(commit=commits) == OK
    wait_until(
        lambda: stable_offset(client, group, topic) == (OK, 7 if commits else 3, -1),
        "the offset is decided",
    )


def test_a_later_record_wins_whichever_transaction_ends_first(
    client: WireClient, topic: str, group: str, implicit: bool
) -> None:
    first, second = (TransactionalProducer(client, implicit=implicit) for _ in range(2))
    for number, producer in enumerate((first, second)):
        assert producer.init() == OK
        assert producer.begin_with_offset(group, topic, number) == OK
    assert second.end() == OK
    assert first.end() == OK
    wait_until(lambda: stable_offset(client, group, topic) == (OK, 1, -1), "both have ended")


def test_a_group_that_is_deleted_takes_its_pending_offsets_with_it(
    client: WireClient, topic: str, group: str, producer: TransactionalProducer
) -> None:
    assert producer.begin_with_offset(group, topic, 7) == OK
    answer = client.call(DeleteGroupsRequest([group]), 2)
    assert [result.error_code for result in answer.results] == [OK]
    assert stable_offset(client, group, topic) == (OK, -1, -1)
    assert producer.end() == OK
    wait_until(lambda: producer.state() == "CompleteCommit", "the marker is written")
    assert stable_offset(client, group, topic) == (OK, -1, -1)


@pytest.mark.parametrize(
    ("version", "told"),
    [
        (0, ErrorCode.INVALID_TXN_STATE),
        (3, ErrorCode.INVALID_TXN_STATE),
        (4, ErrorCode.TRANSACTION_ABORTABLE),
    ],
)
def test_a_group_that_was_not_added(
    client: WireClient,
    topic: str,
    group: str,
    old: TransactionalProducer,
    version: int,
    told: ErrorCode,
) -> None:
    old.begin_with(topic)
    assert old.commit_offset(group, topic, 7, version=version) == told
    assert stable_offset(client, group, topic) == (OK, -1, -1)
    assert old.end(commit=False) == OK


def test_members_are_checked(
    client: WireClient, topic: str, producer: TransactionalProducer, new_member: Callable[..., Any]
) -> None:
    member = new_member()
    member.join(version=3)
    member.sync({member.id: b""})
    group, generation = member.group, member.generation
    if not producer.implicit:
        assert producer.add_offsets(group) == OK

    def error(member_id: str, generation: int, version: int = 0) -> ErrorCode:
        how = {"version": version} if version else {}
        return producer.commit_offset(group, topic, 1, member=(member_id, generation), **how)

    assert error(member.id, generation) == OK
    assert error(member.id, generation + 1) == ErrorCode.ILLEGAL_GENERATION
    assert error("stranger", generation) == ErrorCode.UNKNOWN_MEMBER_ID
    assert error("", -1) == OK
    assert error("", -1, version=2) == OK
    assert producer.end(commit=False) == OK


@pytest.mark.parametrize("version", [0, 3, 5])
def test_offsets_of_what_does_not_exist(
    topic: str, group: str, old: TransactionalProducer, version: int
) -> None:
    assert old.add_offsets(group) == OK
    unknown = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert old.commit_offset(group, "nowhere", 1, version=version) == unknown
    assert old.commit_offset(group, topic, 1, partition=9, version=version) == unknown


def test_a_commit_for_no_group(topic: str, producer: TransactionalProducer) -> None:
    assert producer.commit_offset("", topic, 1) == ErrorCode.INVALID_GROUP_ID


def test_metadata_that_is_too_long(topic: str, group: str, producer: TransactionalProducer) -> None:
    if not producer.implicit:
        assert producer.add_offsets(group) == OK
    told = producer.commit_offset(group, topic, 1, metadata="x" * 5_000)
    assert told == ErrorCode.OFFSET_METADATA_TOO_LARGE
