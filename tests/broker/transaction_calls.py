"""The requests of a transactional producer, sent by hand, in the old and in the new protocol."""

import itertools
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from tests.broker.group_calls import offsets_request, wait_until
from tests.broker.wire_calls import batch_of, produce_request, topic_id_of
from tests.broker.wire_client import DEADLINE_S, WireClient
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.add_offsets_to_txn import AddOffsetsToTxnRequest
from tierbroker.wire.messages.add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTransaction,
)
from tierbroker.wire.messages.describe_transactions import DescribeTransactionsRequest
from tierbroker.wire.messages.end_txn import EndTxnRequest
from tierbroker.wire.messages.find_coordinator import FindCoordinatorRequest
from tierbroker.wire.messages.init_producer_id import InitProducerIdRequest
from tierbroker.wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)

TRANSACTION_KEY = 1
_AGAIN = (
    ErrorCode.CONCURRENT_TRANSACTIONS,
    ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
    ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.NOT_COORDINATOR,
)

_numbers = itertools.count()


def new_id() -> str:
    """A transactional id that no other test uses, on whatever broker."""
    return f"tx-{os.getpid()}-{next(_numbers)}-{time.time_ns()}"


def patiently(ask: Callable[[], Any], error_of: Callable[[Any], int]) -> Any:
    """Ask again while the coordinator is not ready, or the transaction before completes."""
    deadline = time.monotonic() + DEADLINE_S
    answer = ask()
    while error_of(answer) in _AGAIN and time.monotonic() < deadline:
        time.sleep(0.02)
        answer = ask()
    return answer


class TransactionalProducer:
    """One producer; `implicit` speaks transaction version 2. Methods answer error codes."""

    def __init__(
        self, client: WireClient, transactional_id: str | None = None, *, implicit: bool = False
    ) -> None:
        self.client = client
        self.transactional_id = transactional_id or new_id()
        self.implicit = implicit
        self.id, self.epoch = -1, -1
        self._sequences: dict[tuple[str, int], int] = {}

    def init(self, version: int = 5, timeout_ms: int = 60_000, **how: Any) -> ErrorCode:
        """InitProducerId until it is answered for good."""
        await_transactions(self.client, self.transactional_id)
        answer = patiently(
            lambda: self.try_init(version, timeout_ms, **how), lambda answer: answer.error_code
        )
        if answer.error_code == ErrorCode.NONE:
            self._take(answer.producer_id, answer.producer_epoch)
        return ErrorCode(answer.error_code)

    def try_init(self, version: int = 5, timeout_ms: int = 60_000, **how: Any) -> Any:
        """InitProducerId once."""
        request = InitProducerIdRequest(self.transactional_id, timeout_ms, **how)
        return self.client.call(request, version)

    def add(self, *places: tuple[str, int], version: int = 3) -> dict[tuple[str, int], ErrorCode]:
        """AddPartitionsToTxn, until the transaction before has completed."""
        return dict(
            patiently(
                lambda: self._try_add(places, version),
                lambda errors: next(iter(errors.values()), ErrorCode.NONE),
            )
        )

    def _try_add(
        self, places: Sequence[tuple[str, int]], version: int
    ) -> dict[tuple[str, int], ErrorCode]:
        topics: dict[str, AddPartitionsToTxnTopic] = {}
        for name, index in places:
            topics.setdefault(name, AddPartitionsToTxnTopic(name)).partitions.append(index)
        asked = list(topics.values())
        producer = (self.transactional_id, self.id, self.epoch)
        if version < 4:
            answer = self.client.call(AddPartitionsToTxnRequest([], *producer, asked), version)
            results = answer.results_by_topic_v3_and_below
        else:
            transaction = AddPartitionsToTxnTransaction(*producer, False, asked)
            answer = self.client.call(AddPartitionsToTxnRequest([transaction]), version)
            results = answer.results_by_transaction[0].topic_results
        return {
            (topic.name, part.partition_index): ErrorCode(part.partition_error_code)
            for topic in results
            for part in topic.results_by_partition
        }

    def send(
        self, topic: str, *values: bytes, partition: int = 0, version: int | None = None
    ) -> ErrorCode:
        """One batch; the partition must have been added, but in the new protocol."""
        place = (topic, partition)
        sequence = self._sequences.get(place, 0)
        batch = batch_of(
            values or (b"value",),
            producer_id=self.id,
            producer_epoch=self.epoch,
            base_sequence=sequence,
            transactional=True,
        )
        if version is None:
            version = 12 if self.implicit else 11
        request = produce_request(
            topic, batch, partition=partition, transactional_id=self.transactional_id
        )
        if version >= 13:
            request.topic_data[0].topic_id = topic_id_of(self.client, topic)
        answer = self.client.call(request, version)
        error = ErrorCode(answer.responses[0].partition_responses[0].error_code)
        if error is ErrorCode.NONE:
            self._sequences[place] = sequence + len(values or (b"value",))
        return error

    def begin_with(self, topic: str, *values: bytes) -> None:
        """Write to partition 0 of the topic, as the protocol has it."""
        if not self.implicit:
            assert self.add((topic, 0)) == {(topic, 0): ErrorCode.NONE}
        assert self.send(topic, *values) == ErrorCode.NONE

    def begin_with_offset(self, group: str, topic: str, offset: int) -> ErrorCode:
        """Commit an offset of partition 0, as the protocol has it."""
        if not self.implicit:
            assert self.add_offsets(group) == ErrorCode.NONE
        return self.commit_offset(group, topic, offset)

    def add_offsets(self, group: str, version: int = 3) -> ErrorCode:
        """AddOffsetsToTxn."""
        request = AddOffsetsToTxnRequest(self.transactional_id, self.id, self.epoch, group)
        answer = patiently(
            lambda: self.client.call(request, version), lambda answer: answer.error_code
        )
        return ErrorCode(answer.error_code)

    def commit_offset(
        self,
        group: str,
        topic: str,
        offset: int,
        *,
        partition: int = 0,
        member: tuple[str, int] = ("", -1),
        metadata: str = "",
        version: int | None = None,
    ) -> ErrorCode:
        """TxnOffsetCommit of one partition."""
        if version is None:
            version = 5 if self.implicit else 4
        committed = TxnOffsetCommitRequestPartition(partition, offset, -1, metadata)
        request = TxnOffsetCommitRequest(
            self.transactional_id, group, self.id, self.epoch, member[1], member[0]
        )
        request.topics = [TxnOffsetCommitRequestTopic(topic, [committed])]
        answer = patiently(
            lambda: self.client.call(request, version),
            lambda answer: answer.topics[0].partitions[0].error_code,
        )
        return ErrorCode(answer.topics[0].partitions[0].error_code)

    def end(self, *, commit: bool = True, version: int | None = None) -> ErrorCode:
        """EndTxn; in the new protocol the producer goes on as the answer says."""
        if version is None:
            version = 5 if self.implicit else 4
        answer = patiently(
            lambda: self.try_end(commit=commit, version=version), lambda answer: answer.error_code
        )
        if version >= 5 and answer.error_code == ErrorCode.NONE:
            self._take(answer.producer_id, answer.producer_epoch)
        return ErrorCode(answer.error_code)

    def try_end(self, *, commit: bool = True, version: int = 4) -> Any:
        """EndTxn once."""
        request = EndTxnRequest(self.transactional_id, self.id, self.epoch, commit)
        return self.client.call(request, version)

    def state(self) -> str:
        """What DescribeTransactions says."""
        return str(self.described().transaction_state)

    def described(self) -> Any:
        """The answer of DescribeTransactions."""
        answer = self.client.call(DescribeTransactionsRequest([self.transactional_id]), 0)
        return answer.transaction_states[0]

    def _take(self, producer_id: int, epoch: int) -> None:
        if (producer_id, epoch) != (self.id, self.epoch):
            self._sequences.clear()
        self.id, self.epoch = producer_id, epoch


def await_transactions(client: WireClient, transactional_id: str = "any") -> None:
    """Ask until somebody coordinates the id: the first question makes the internal topic."""
    request = FindCoordinatorRequest(coordinator_keys=[transactional_id], key_type=TRANSACTION_KEY)
    wait_until(
        lambda: client.call(request, 4).coordinators[0].error_code == 0,
        "somebody coordinates transactions",
    )


def stable_offset(client: WireClient, group: str, topic: str) -> tuple[ErrorCode, int, int]:
    """(error, offset, leader epoch) of the partition for who wants stable offsets."""
    request = offsets_request(group, {topic: [0]}, 9, require_stable=True)
    (answer,) = client.call(request, 9).groups
    (partition,) = answer.topics[0].partitions
    return (
        ErrorCode(partition.error_code),
        partition.committed_offset,
        partition.committed_leader_epoch,
    )
