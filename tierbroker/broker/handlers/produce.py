"""Produce (key 0), advertised 0 to 13; a request of version 0 to 2 closes its connection.

v3 the v2 record batch. v5 log start offset. v7 zstd. v8 record errors. v9 flexible. v10 leader
hints (KIP-951). v11 TRANSACTION_ABORTABLE. v12 adds partitions to transactions (KIP-890). v13
topic ids (KIP-516).

Batches stay opaque (D-1): headers are checked, records are opened only for a compacted topic or
a topic with its own compression.type. With acks=0 nothing is answered, and an error closes the
connection so that the client notices (Kafka's handleProduceRequest).
"""

from functools import partial
from typing import TYPE_CHECKING

from tierbroker.base.errors import (
    ApiError,
    CloseConnection,
    DuplicateSequenceNumberError,
    InvalidProducerEpochError,
    InvalidProducerIdMappingError,
    InvalidRecordError,
    InvalidRequiredAcksError,
    InvalidTimestampError,
    InvalidTopicError,
    InvalidTxnStateError,
    MessageTooLargeError,
    OutOfOrderSequenceNumberError,
    TransactionalIdAuthorizationFailedError,
    UnknownTopicIdError,
)
from tierbroker.base.pending import Pending
from tierbroker.broker.api import RequestContext
from tierbroker.broker.leader_hints import hinted_endpoints, leader_hint
from tierbroker.controller.state.topics import INTERNAL_TOPICS
from tierbroker.hot.config import LogConfig, TimestampType
from tierbroker.hot.log import AppendResult, Log
from tierbroker.hot.producer_state import AppendOrigin
from tierbroker.records import batch as batches
from tierbroker.records.validate import (
    NotOneBatchError,
    RecordTimestampsError,
    validate_produce,
)
from tierbroker.replication.partition import AppendDone, Partition
from tierbroker.serde.structs import Buffer
from tierbroker.wire.error_codes import ErrorCode, code_of
from tierbroker.wire.messages.produce import BatchIndexAndErrorMessage
from tierbroker.wire.produce import (
    TOPIC_ID_VERSION,
    LeaderIdAndEpoch,
    NodeEndpoint,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceResponse,
)

if TYPE_CHECKING:
    from tierbroker.base.ids import Uuid

_CLIENT = AppendOrigin.CLIENT
_CLIENT_2 = AppendOrigin.CLIENT_2
_ZSTD_SINCE = 7
_ABORTABLE_SINCE = 11
_ADDS_PARTITIONS_SINCE = 12
_ASK_AGAIN = frozenset(
    {
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.NOT_COORDINATOR,
    }
)
"""What a producer does not expect of a partition; it tries NOT_ENOUGH_REPLICAS again, without
looking for another leader (Kafka: ReplicaManager.handleProduceAppend)."""
_REFUSED_BY_THE_LOG = (
    InvalidRecordError,
    InvalidTimestampError,
    OutOfOrderSequenceNumberError,
    InvalidProducerEpochError,
    DuplicateSequenceNumberError,
    InvalidTxnStateError,
)
"""Errors that tell where the log starts (Kafka: ReplicaManager.appendToLocalLog)."""
_RECORD_TIME = (batches.TimestampType.CREATE_TIME, batches.TimestampType.LOG_APPEND_TIME)


def handle(request: ProduceRequest, context: RequestContext) -> Pending[ProduceResponse | None]:
    """Append each batch to its partition; answered when all have reached what acks asks for."""
    return ProduceCall(request, context).answer


class ProduceCall:
    """One Produce request under way: counts the partitions that are still to be answered."""

    __slots__ = (
        "_acks",
        "_context",
        "_hinted",
        "_holds_gate",
        "_left",
        "_producer_id",
        "_response",
        "_transactional_id",
        "answer",
    )

    def __init__(self, request: ProduceRequest, context: RequestContext) -> None:
        self.answer: Pending[ProduceResponse | None] = Pending()
        self._context = context
        self._hinted = False
        self._acks = request.acks
        self._transactional_id = request.transactional_id
        self._producer_id = batches.NO_PRODUCER_ID
        self._response = ProduceResponse()
        # One is counted for the request itself, so that it cannot finish while being read.
        self._left = 1
        self._holds_gate = False
        try:
            self._append_all(request)
        finally:
            if self._holds_gate:
                context.broker.txn_gate.let_go()
        self._release_one()

    def _append_all(self, request: ProduceRequest) -> None:
        refusal: ApiError | None = None
        if request.acks not in (-1, 0, 1):
            refusal = InvalidRequiredAcksError(f"acks is {request.acks}")
        by_id = self._context.api_version >= TOPIC_ID_VERSION
        answers: dict[Uuid, TopicProduceResponse] = {}
        unknown: set[tuple[Uuid, int]] = set()
        for topic in request.topic_data:
            if not topic.partition_data:
                continue
            name: str | None = topic.name
            if by_id:
                name = self._context.broker.partitions.topic_name(topic.topic_id)
            topic_answer = answers.get(topic.topic_id) if by_id else None
            if topic_answer is None:
                topic_answer = TopicProduceResponse(name=topic.name, topic_id=topic.topic_id)
                self._response.responses.append(topic_answer)
                # One that is named twice by id gets one answer, as in Kafka.
                answers[topic.topic_id] = topic_answer
            for data in topic.partition_data:
                if name is None:
                    if (topic.topic_id, data.index) in unknown:
                        continue
                    unknown.add((topic.topic_id, data.index))
                item = PartitionProduceResponse(index=data.index)
                topic_answer.partition_responses.append(item)
                self._left += 1
                if name is None:
                    self._finish(item, None, UnknownTopicIdError("no topic has this id"))
                elif refusal is not None:
                    self._finish(item, None, refusal)
                else:
                    self._append(item, name, data.records)

    def _append(
        self,
        item: PartitionProduceResponse,
        topic: str,
        records: Buffer | None,
    ) -> None:
        partition = None
        try:
            partition = self._context.broker.partitions.get(topic, item.index)
            if topic in INTERNAL_TOPICS:
                raise InvalidTopicError(f"{topic} is written by the broker alone")
            log = partition.log_for_append(self._acks)
            batch, header = self._validated(records, log.config)
        except ApiError as error:
            self._finish(item, partition, error)
        else:
            done = partial(self._finish, item, partition)
            if header.attributes & batches.TRANSACTIONAL_BIT and not self._is_open(log, header):
                self._append_in_transaction(item, partition, batch, header, done)
            else:
                partition.append(batch, header, self._acks, done)

    def _is_open(self, log: Log, header: batches.BatchHeader) -> bool:
        """Whether nothing need be asked: for all but the first batch of a transaction in a log.

        The log knows its producer then, and judges it alike in both protocols.
        """
        producer_id = header.producer_id
        if producer_id != self._producer_id:
            if self._transactional_id is None or self._producer_id != batches.NO_PRODUCER_ID:
                return False
            self._producer_id = producer_id
        known = log.producer_state.get(producer_id)
        return (
            known is not None
            and known.txn_first_offset >= 0
            and known.epoch == header.producer_epoch
            and not self._context.broker.txn_gate.holds(producer_id)
        )

    def _append_in_transaction(
        self,
        item: PartitionProduceResponse,
        partition: Partition,
        batch: memoryview | bytearray,
        header: batches.BatchHeader,
        done: AppendDone,
    ) -> None:
        """Append once it is known that the transaction is open: one question for the request."""
        if self._transactional_id is None:
            done(TransactionalIdAuthorizationFailedError("the request has no transactional id"))
            return
        producer_id = header.producer_id
        if self._producer_id not in (batches.NO_PRODUCER_ID, producer_id):
            done(InvalidProducerIdMappingError("the request has batches of two producers"))
            return
        self._producer_id = producer_id
        implicit = self._context.api_version >= _ADDS_PARTITIONS_SINCE
        origin = _CLIENT_2 if implicit else _CLIENT
        gate = self._context.broker.txn_gate
        if not self._holds_gate:
            self._holds_gate = True
            gate.hold()

        def go_on(code: ErrorCode) -> None:
            if code is ErrorCode.NONE:
                partition.append(batch, header, self._acks, done, origin)
            else:
                self._refuse(item, code)

        gate.admit(
            self._transactional_id,
            producer_id,
            header.producer_epoch,
            partition,
            implicit=implicit,
            then=go_on,
            knows_abortable=self._context.api_version >= _ABORTABLE_SINCE,
            first_sequence=header.base_sequence,
        )

    def _refuse(self, item: PartitionProduceResponse, code: ErrorCode) -> None:
        """The transaction is not open here, or nobody can tell."""
        item.base_offset = -1
        item.error_code = code
        if code is ErrorCode.INVALID_TXN_STATE:
            item.error_message = "the partition was not added to the transaction"
        elif code in _ASK_AGAIN or (
            code is ErrorCode.CONCURRENT_TRANSACTIONS
            and self._context.api_version < _ADDS_PARTITIONS_SINCE
        ):
            item.error_code = ErrorCode.NOT_ENOUGH_REPLICAS
            item.error_message = f"the transaction cannot be looked up: {code.name}"
        self._release_one()

    def _validated(
        self, records: Buffer | None, config: LogConfig
    ) -> tuple[memoryview | bytearray, batches.BatchHeader]:
        if records is None or len(records) == 0:
            raise NotOneBatchError("a produce request needs one record batch per partition")
        assert isinstance(records, memoryview)
        now_ms = self._context.broker.clock.now_ms()
        stamps = config.message_timestamp_type is TimestampType.LOG_APPEND_TIME
        header = validate_produce(
            records,
            max_message_bytes=config.max_message_bytes,
            now_ms=now_ms,
            timestamp_type=_RECORD_TIME[stamps],
            before_max_ms=config.message_timestamp_before_max_ms,
            after_max_ms=config.message_timestamp_after_max_ms,
            compacted=config.compacted,
            zstd_allowed=self._context.api_version >= _ZSTD_SINCE,
        )
        batch: memoryview | bytearray = records
        if config.compression_type != "producer":
            from tierbroker.records.transcode import transcode

            codec = config.compression_type
            batch = transcode(records, header, codec, config.compression_level(codec))
            header = batches.read_header(batch)
            if header.size_bytes > config.max_message_bytes:
                raise MessageTooLargeError(
                    f"with compression.type={codec} the batch has {header.size_bytes} bytes, "
                    f"max.message.bytes is {config.max_message_bytes}"
                )
        if stamps:
            batches.rewrite_log_append_time(batch, 0, now_ms)
            header = batches.read_header(batch)
        return batch, header

    def _finish(
        self,
        item: PartitionProduceResponse,
        partition: Partition | None,
        result: AppendResult | ApiError,
    ) -> None:
        if isinstance(result, ApiError):
            item.error_code = code_of(result)
            item.error_message = result.message or None
            item.base_offset = -1
            if isinstance(result, InvalidRecordError | RecordTimestampsError):
                item.record_errors = [
                    BatchIndexAndErrorMessage(index, message)
                    for index, message in result.record_errors
                ]
            if partition is not None:
                if isinstance(result, _REFUSED_BY_THE_LOG) and type(result) is not NotOneBatchError:
                    item.log_start_offset = partition.log_start_offset
                item.current_leader = leader_hint(
                    self._context.broker, partition, result, LeaderIdAndEpoch
                )
                self._hinted = self._hinted or item.current_leader is not None
        else:
            item.base_offset = result.base_offset
            item.log_append_time_ms = result.log_append_time_ms
            item.log_start_offset = (
                result.log_start_offset
                if partition is None
                else partition.start_for_producer(result)
            )
        self._release_one()

    def _add_endpoints(self) -> None:
        hints = [
            item.current_leader
            for topic in self._response.responses
            for item in topic.partition_responses
        ]
        self._response.node_endpoints = [
            NodeEndpoint(node_id, endpoint.host, endpoint.port)
            for node_id, endpoint in hinted_endpoints(
                self._context.broker, self._context.peer.listener_name, hints
            )
        ]

    def _release_one(self) -> None:
        self._left -= 1
        if self._left or self.answer.done:
            return
        if self._acks != 0:
            if self._hinted:
                self._add_endpoints()
            self.answer.resolve(self._response)
            return
        failed = [
            f"{topic.name}-{item.index}: {item.error_message}"
            for topic in self._response.responses
            for item in topic.partition_responses
            if item.error_code
        ]
        if failed:
            self.answer.fail(CloseConnection("acks=0 append failed: " + "; ".join(failed[:3])))
        else:
            self.answer.resolve(None)
