"""A transaction coordinator and a gate that remember what they were asked, and answer as told."""

from collections.abc import Callable, Collection
from typing import Any

from tests.fake_groups import FakeGroups
from tierbroker.base.ids import TopicPartition
from tierbroker.base.pending import Pending
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.describe_transactions import TransactionState
from tierbroker.wire.messages.end_txn import EndTxnRequest, EndTxnResponse
from tierbroker.wire.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from tierbroker.wire.messages.list_transactions import (
    ListTransactionsRequest,
    ListTransactionsResponse,
)
from tierbroker.wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
)


class FakeTransactions:
    """Keeps each call in `calls`; what takes time is answered when the test resolves `pending`."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.pending: Pending[Any] = Pending()
        self.verified: dict[TopicPartition, ErrorCode] | ErrorCode = ErrorCode.NONE
        self.described = [TransactionState(transactional_id="tx", transaction_state="Ongoing")]
        self.listed = ListTransactionsResponse(unknown_state_filters=["Odd"])

    def init_producer_id(
        self, request: InitProducerIdRequest, version: int
    ) -> Pending[InitProducerIdResponse]:
        return self._later(request, version)

    def add_partitions(
        self,
        transactional_id: str,
        producer_id: int,
        producer_epoch: int,
        partitions: Collection[TopicPartition],
        *,
        transaction_version: int,
    ) -> Pending[ErrorCode]:
        producer = (transactional_id, producer_id, producer_epoch)
        return self._later(producer, list(partitions), transaction_version)

    def verify(
        self,
        transactional_id: str,
        producer_id: int,
        producer_epoch: int,
        partitions: Collection[TopicPartition],
    ) -> dict[TopicPartition, ErrorCode] | ErrorCode:
        self.calls.append(((transactional_id, producer_id, producer_epoch), list(partitions)))
        return self.verified

    def end_txn(self, request: EndTxnRequest, version: int) -> Pending[EndTxnResponse]:
        return self._later(request, version)

    def describe(self, transactional_ids: list[str]) -> list[TransactionState]:
        self.calls.append((transactional_ids,))
        return self.described

    def list_transactions(
        self, request: ListTransactionsRequest, version: int
    ) -> ListTransactionsResponse:
        self.calls.append((request, version))
        return self.listed

    def _later(self, *asked: Any) -> Pending[Any]:
        self.calls.append(asked)
        return self.pending


class FakeGate:
    """Admits when the test says so."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.waiting: list[Callable[[ErrorCode], None]] = []

    def admit(
        self,
        transactional_id: str,
        producer_id: int,
        producer_epoch: int,
        partition: Any,
        *,
        then: Callable[[ErrorCode], None],
        **how: bool,
    ) -> None:
        producer = (transactional_id, producer_id, producer_epoch)
        self.calls.append((producer, partition.topic_partition, how))
        self.waiting.append(then)

    def answer(self, error: ErrorCode = ErrorCode.NONE) -> None:
        """Answer the oldest call."""
        self.waiting.pop(0)(error)


class FakeTransactionalGroups(FakeGroups):
    """Groups whose commits within transactions are answered by the test."""

    def partition_for(self, group_id: str) -> int:
        return len(group_id) % 2

    def commit_transactional(
        self, request: TxnOffsetCommitRequest, topic_ids: dict[str, bytes]
    ) -> Pending[TxnOffsetCommitResponse]:
        self.calls.append((request, topic_ids))
        return self.pending
