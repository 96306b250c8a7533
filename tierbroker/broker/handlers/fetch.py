"""Fetch (key 1), versions 4 to 18.

v7 sessions (KIP-227). v9 current leader epoch (KIP-320). v10 zstd. v11 rack id. v12 flexible,
diverging epoch. v13 topic ids (KIP-516). v15 replica state. v16 node endpoints (KIP-951). v17
directory id and v18 high watermark of replicas.

An answer waits until min_bytes can be read, max_wait has passed, or any partition has an error
or changes hands. Records travel as file slices: nothing here reads them. Errors of a partition
are only those that Kafka documents for Fetch; a wait that ends with nothing is an empty success.
A reader of committed records gets what lies below the last stable offset, and with it the aborted
transactions whose records it must leave out: both are read in one step (INV-6). Absent: replicas
(who says that it is one is none of this partition), preferred read replicas.
"""

from tierbroker.base.errors import (
    ApiError,
    InconsistentTopicIdError,
    NotLeaderOrFollowerError,
    OffsetOutOfRangeError,
    UnknownTopicIdError,
)
from tierbroker.base.parts import FileSlice
from tierbroker.base.pending import Pending
from tierbroker.broker.api import RequestContext
from tierbroker.broker.fetch_sessions import FetchContext, FetchTarget
from tierbroker.broker.leader_hints import hinted_endpoints, leader_hint
from tierbroker.broker.services import BrokerServices
from tierbroker.replication.partition import Partition
from tierbroker.wire.error_codes import code_of
from tierbroker.wire.fetch import (
    AbortedTransaction,
    EpochEndOffset,
    FetchableTopicResponse,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    LeaderIdAndEpoch,
    NodeEndpoint,
    PartitionData,
)

_READ_COMMITTED = 1
_REPLICA_STATE_SINCE = 15
_ENDPOINTS_SINCE = 16


def handle(
    request: FetchRequest, context: RequestContext
) -> FetchResponse | Pending[FetchResponse]:
    """Answer at once if there is enough to read, else park the request."""
    broker = context.broker
    try:
        fetch = broker.fetch_sessions.open(request, context.api_version)
    except ApiError as error:
        return FetchResponse(error_code=code_of(error))
    reading = FetchReading(broker, request, fetch, context)
    reading.read_all()
    if request.max_wait_ms <= 0 or reading.is_complete or not fetch.targets:
        return reading.response()
    return ParkedFetch(reading, request.max_wait_ms / 1000).answer


class FetchReading:
    """The partitions of one fetch with what was read for each so far."""

    __slots__ = (
        "_answers",
        "_broker",
        "_context",
        "_ends_with_segment",
        "_fetch",
        "_has_error",
        "_is_replica",
        "_limit_bytes",
        "_min_bytes",
        "_read_committed",
        "_size_bytes",
        "deadlines",
        "partitions",
    )

    def __init__(
        self,
        broker: BrokerServices,
        request: FetchRequest,
        fetch: FetchContext,
        context: RequestContext,
    ) -> None:
        self._broker = broker
        self._fetch = fetch
        self._context = context
        self._limit_bytes = min(request.max_bytes, broker.fetch_max_bytes)
        self._min_bytes = request.min_bytes
        self._read_committed = request.isolation_level == _READ_COMMITTED
        self._is_replica = _replica_id(request, context.api_version) >= 0
        self._answers: list[PartitionData] = []
        self._size_bytes = 0
        self._has_error = False
        self._ends_with_segment = False
        self.deadlines = broker.deadlines
        self.partitions: dict[Partition, int] = {}
        """The partitions that were found, with their places in the answer."""

    @property
    def is_complete(self) -> bool:
        """Whether the answer need not wait any longer."""
        return self._has_error or self._ends_with_segment or self._size_bytes >= self._min_bytes

    def read_all(self) -> None:
        """Read every partition, in the order of the request, within the limits."""
        for index, target in enumerate(self._fetch.targets):
            try:
                partition = _find(self._broker, target)
            except ApiError as error:
                self._answers.append(_failure(target.asked, error))
                self._has_error = True
            else:
                self.partitions[partition] = index
                self._answers.append(self._read(partition, target.asked))

    def read_again(self, partition: Partition) -> None:
        """Read one partition anew, after it said that something changed."""
        index = self.partitions[partition]
        records = self._answers[index].records
        self._size_bytes -= len(records or b"")
        _release(records)
        target = self._fetch.targets[index]
        try:
            if not partition.is_leader:
                _find(self._broker, target)  # raises where the topic is gone
            self._answers[index] = self._read(partition, target.asked)
        except ApiError as error:
            self._answers[index] = _failure(target.asked, error)
            self._answers[index].aborted_transactions = None
            self._has_error = True

    def response(self) -> FetchResponse:
        """The answer; the file slices in it now belong to whoever sends it."""
        answer = FetchResponse(session_id=self._fetch.session_id)
        topic: FetchableTopicResponse | None = None
        last_key: object = None
        for target, data in self._fetch.select(self._answers):
            if topic is None or target.topic_key != last_key:
                last_key = target.topic_key
                topic = FetchableTopicResponse()
                if isinstance(last_key, str):
                    topic.topic = last_key
                else:
                    topic.topic_id = last_key
                answer.responses.append(topic)
            topic.partitions.append(data)
        if self._has_error and not self._is_replica:
            self._add_endpoints(answer)
        return answer

    def release(self) -> None:
        """The answer will not be sent: give the leases back."""
        for data in self._answers:
            _release(data.records)

    def _add_endpoints(self, answer: FetchResponse) -> None:
        hints = [data.current_leader for data in self._answers]
        answer.node_endpoints = [
            NodeEndpoint(node_id, endpoint.host, endpoint.port)
            for node_id, endpoint in hinted_endpoints(
                self._broker, self._context.peer.listener_name, hints
            )
        ]

    def _read(self, partition: Partition, asked: FetchPartition) -> PartitionData:
        data = _without_records(asked)
        try:
            partition.check_leader(asked.current_leader_epoch)
            if self._is_replica:
                raise NotLeaderOrFollowerError("no other broker has a replica of the partition")
            log = partition.online_log()
            if asked.last_fetched_epoch >= 0:
                epoch, end_offset = log.end_offset_for_epoch(asked.last_fetched_epoch)
                if end_offset < 0:
                    # Nothing to diverge from: the reader has to find a place anew, as in Kafka.
                    raise OffsetOutOfRangeError(f"no epoch {asked.last_fetched_epoch} is known")
                if epoch < asked.last_fetched_epoch or end_offset < asked.fetch_offset:
                    data.diverging_epoch = EpochEndOffset(epoch, end_offset)
                    self._has_error = True
                    _fill_offsets(data, partition)
                    return data
            limit = min(asked.partition_max_bytes, self._limit_bytes - self._size_bytes)
            visible = partition.high_watermark
            if self._read_committed:
                visible = partition.last_stable_offset
                result, aborted = partition.read_committed(
                    asked.fetch_offset, max(0, limit), self._size_bytes == 0
                )
                data.aborted_transactions = [
                    AbortedTransaction(txn.producer_id, txn.first_offset) for txn in aborted
                ]
            else:
                result = partition.read(asked.fetch_offset, max(0, limit), self._size_bytes == 0)
            if result.slice is not None:
                data.records = result.slice
                self._size_bytes += result.size_bytes
                # What comes later lands behind it, in another read (Kafka: DelayedFetch, case F).
                active_base = log.segments.active.base_offset
                if asked.fetch_offset < active_base <= visible:
                    self._ends_with_segment = True
            _fill_offsets(data, partition)
        except ApiError as error:
            self._has_error = True
            data.error_code = code_of(error)
            if isinstance(error, OffsetOutOfRangeError):
                _fill_offsets(data, partition)
            else:
                data.high_watermark = data.last_stable_offset = data.log_start_offset = -1
            if self._context.api_version >= _ENDPOINTS_SINCE:
                data.current_leader = leader_hint(self._broker, partition, error, LeaderIdAndEpoch)
        return data


class ParkedFetch:
    """A fetch that waits for data, an error, or its deadline, whichever is first."""

    __slots__ = ("_deadlines", "_reading", "_tick", "answer")

    def __init__(self, reading: FetchReading, max_wait_s: float) -> None:
        self._reading = reading
        self.answer: Pending[FetchResponse] = Pending(on_cancel=self._abandon)
        for partition in reading.partitions:
            partition.waiters.add(self)
        self._deadlines = reading.deadlines
        self._tick = self._deadlines.add(self, max_wait_s)

    def wake(self, partition: Partition) -> None:
        """A partition has news: read it, and answer if that is enough."""
        self._reading.read_again(partition)
        if self._reading.is_complete:
            self._answer()

    def expire(self) -> None:
        """max_wait has passed: answer with what there is."""
        self._answer()

    def _answer(self) -> None:
        self._leave()
        self.answer.resolve(self._reading.response())

    def _abandon(self) -> None:
        self._leave()
        self._reading.release()

    def _leave(self) -> None:
        self._deadlines.remove(self, self._tick)
        for partition in self._reading.partitions:
            partition.waiters.discard(self)


def _replica_id(request: FetchRequest, version: int) -> int:
    """Negative for consumers, also for those that debug (-2)."""
    if version < _REPLICA_STATE_SINCE:
        return request.replica_id
    return -1 if request.replica_state is None else request.replica_state.replica_id


def _find(broker: BrokerServices, target: FetchTarget) -> Partition:
    """The partition that is meant; raises the error for one that is not here (trap: recreation)."""
    topic_key = target.topic_key
    if isinstance(topic_key, str):
        return broker.partitions.get(topic_key, target.asked.partition)
    if target.topic is None:
        target.topic = broker.partitions.topic_name(topic_key)
        if target.topic is None:
            raise UnknownTopicIdError("no topic has this id")
    partition = broker.partitions.get(target.topic, target.asked.partition)
    if partition.topic_id != topic_key:
        raise InconsistentTopicIdError(f"{target.topic} has another id now")
    return partition


def _without_records(asked: FetchPartition) -> PartitionData:
    """Empty records, as Kafka answers: librdkafka calls an answer with null malformed."""
    data = PartitionData()
    data.partition_index = asked.partition
    data.records = b""
    data.aborted_transactions = None
    return data


def _failure(asked: FetchPartition, error: ApiError) -> PartitionData:
    data = _without_records(asked)
    data.aborted_transactions = []
    data.error_code = code_of(error)
    data.high_watermark = data.last_stable_offset = data.log_start_offset = -1
    return data


def _fill_offsets(data: PartitionData, partition: Partition) -> None:
    data.high_watermark = partition.high_watermark
    data.last_stable_offset = partition.last_stable_offset
    data.log_start_offset = partition.log_start_offset


def _release(records: object) -> None:
    if type(records) is FileSlice:
        records.lease.release()
