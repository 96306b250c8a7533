"""The transaction coordinator: finds the shard of a transactional id and hands the request to it.

The face towards handlers and `node`. Sans-I/O: it knows no loop, no log and no clock of its own.
A request for an id whose shard is not active is answered with the reason; "there is no such id" is
never said by a shard that does not know.
"""

from collections.abc import Callable, Collection, Iterable
from typing import TypeVar

from tierbroker.base.background import Background, Yield
from tierbroker.base.clock import Clock
from tierbroker.base.ids import TopicPartition
from tierbroker.base.java_hash import partition_of
from tierbroker.base.pending import Pending
from tierbroker.transactions.config import TransactionConfig
from tierbroker.transactions.describing import ListFilter, described, list_all
from tierbroker.transactions.ending import EndRequest, EndResult
from tierbroker.transactions.id_pattern import IdPattern
from tierbroker.transactions.id_pattern_syntax import PatternError
from tierbroker.transactions.initializing import InitRequest, refused_init
from tierbroker.transactions.ports import (
    Markers,
    PartitionReader,
    PartitionWriter,
    ProducerIds,
    Timers,
)
from tierbroker.transactions.record_codec import NAME_BYTES_MAX
from tierbroker.transactions.shard import Shard, ShardState, Surroundings
from tierbroker.transactions.state import STATES_BY_LABEL
from tierbroker.transactions.values import EPOCH_BUMP_VERSION, NO_PRODUCER_EPOCH, NO_PRODUCER_ID
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.describe_transactions import TransactionState
from tierbroker.wire.messages.end_txn import EndTxnRequest, EndTxnResponse
from tierbroker.wire.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from tierbroker.wire.messages.list_transactions import (
    ListTransactionsRequest,
    ListTransactionsResponse,
)

T = TypeVar("T")

_FIRST_END_WITH_BUMP = 5
"""The version of EndTxn from which on a client speaks transaction version 2."""
_UTF8_BYTES_MAX = 4  # of a character
LISTED_AT_ONCE = 1_000
"""With more transactional ids than these, listing them takes turns with others."""


class TransactionCoordinator:
    """All shards that this broker leads. Loop thread only.

    `feature_level` is the finalized `transaction.version` of the cluster: it decides the version
    of records, and how transactions are aborted that no client ends.
    """

    def __init__(
        self,
        config: TransactionConfig,
        writer: PartitionWriter,
        reader: PartitionReader,
        producer_ids: ProducerIds,
        markers: Markers,
        timers: Timers,
        clock: Clock,
        yield_: Yield,
        *,
        feature_level: Callable[[], int] = lambda: EPOCH_BUMP_VERSION,
    ) -> None:
        self._config = config
        self._clock = clock
        self._shards: dict[int, Shard] = {}
        self._stopped = False
        self._surroundings = Surroundings(
            writer=writer,
            reader=reader,
            producer_ids=producer_ids,
            markers=markers,
            timers=timers,
            clock=clock,
            background=Background(clock, yield_),
            feature_level=feature_level,
        )

    # --- life

    @property
    def loaded(self) -> bool:
        """Whether no shard is loading."""
        return all(shard.state is not ShardState.LOADING for shard in self._shards.values())

    def load(self, partition: int, leader_epoch: int) -> None:
        """This broker leads the partition from this epoch on: load it, over the next turns.

        In a later epoch it is loaded anew: others may have written to it in between.
        """
        shard = self._shards.get(partition)
        if self._stopped or (shard is not None and shard.coordinator_epoch == leader_epoch):
            return
        self.unload(partition)
        self._shards[partition] = Shard(partition, leader_epoch, self._config, self._surroundings)

    def unload(self, partition: int) -> None:
        """Another broker leads the partition: requests are told NOT_COORDINATOR."""
        shard = self._shards.pop(partition, None)
        if shard is not None:
            shard.close(ErrorCode.NOT_COORDINATOR)

    def abort_timed_out(self) -> None:
        """Abort transactions that are open for longer than their timeout, over the next turns.

        Due every `transaction.abort.timed.out.transaction.cleanup.interval.ms`.
        """
        for shard in self._shards.values():
            shard.abort_timed_out()

    def expire_ids(self) -> None:
        """Forget transactional ids that are not used any more, over the next turns.

        Due every `transaction.remove.expired.transaction.cleanup.interval.ms`.
        """
        for shard in self._shards.values():
            shard.expire_ids()

    def stop(self) -> None:
        """Write no more, take all timers back; requests get COORDINATOR_NOT_AVAILABLE."""
        self._stopped = True
        for shard in self._shards.values():
            shard.close(ErrorCode.COORDINATOR_NOT_AVAILABLE)

    # --- routing

    @property
    def num_partitions(self) -> int:
        """Partitions that `__transaction_state` has, or will have when it is made."""
        return self._config.partitions

    def partition_for(self, transactional_id: str) -> int:
        """The partition of `__transaction_state` that keeps the transactional id."""
        return partition_of(transactional_id, self._config.partitions)

    def _find(self, transactional_id: str) -> tuple[Shard | None, ErrorCode]:
        """(the shard of the id, NONE), or (None, why there is none to ask)."""
        if self._stopped:
            return None, ErrorCode.COORDINATOR_NOT_AVAILABLE
        if not transactional_id or (
            len(transactional_id) * _UTF8_BYTES_MAX > NAME_BYTES_MAX
            and len(transactional_id.encode()) > NAME_BYTES_MAX
        ):
            return None, ErrorCode.INVALID_REQUEST
        shard = self._shards.get(self.partition_for(transactional_id))
        if shard is None:
            return None, ErrorCode.NOT_COORDINATOR
        error = shard.error
        return (shard, error) if error is ErrorCode.NONE else (None, error)

    # --- producers

    def init_producer_id(
        self, request: InitProducerIdRequest, version: int
    ) -> Pending[InitProducerIdResponse]:
        """InitProducerId with a transactional id.

        CONCURRENT_TRANSACTIONS while the transaction before is brought to its end, PRODUCER_FENCED
        for a producer id and epoch that another producer has taken over.
        """
        transactional_id = request.transactional_id
        assert transactional_id is not None, "who has no transactional id needs no coordinator"
        error = self._check_init(request, transactional_id)
        if error is not ErrorCode.NONE:
            return _resolved(refused_init(error))
        shard, error = self._find(transactional_id)
        if shard is None:
            return _resolved(refused_init(error))
        expected = None
        if request.producer_id != NO_PRODUCER_ID:
            expected = (request.producer_id, request.producer_epoch)
        return shard.initializing.init(
            InitRequest(transactional_id, request.transaction_timeout_ms, expected)
        )

    def _check_init(self, request: InitProducerIdRequest, transactional_id: str) -> ErrorCode:
        """What needs no shard, in Kafka's order."""
        has_id = request.producer_id != NO_PRODUCER_ID
        has_epoch = request.producer_epoch != NO_PRODUCER_EPOCH
        if has_id != has_epoch or not transactional_id:
            return ErrorCode.INVALID_REQUEST
        # Two-phase commit (KIP-939) is switched off in Kafka 4.3 unless somebody asks for it.
        if request.enable_2pc:
            return ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        if request.keep_prepared_txn:
            return ErrorCode.UNSUPPORTED_VERSION
        if not 0 < request.transaction_timeout_ms <= self._config.max_timeout_ms:
            return ErrorCode.INVALID_TRANSACTION_TIMEOUT
        return ErrorCode.NONE

    def add_partitions(
        self,
        transactional_id: str,
        producer_id: int,
        producer_epoch: int,
        partitions: Collection[TopicPartition],
        *,
        transaction_version: int,
    ) -> Pending[ErrorCode]:
        """Add partitions to the producer's transaction, which begins with the first ones."""
        shard, error = self._find(transactional_id)
        if shard is None:
            return _resolved(error)
        return shard.adding.add(
            transactional_id, producer_id, producer_epoch, partitions, version=transaction_version
        )

    def verify(
        self,
        transactional_id: str,
        producer_id: int,
        producer_epoch: int,
        partitions: Collection[TopicPartition],
    ) -> dict[TopicPartition, ErrorCode] | ErrorCode:
        """Whether the partitions are in the producer's open transaction; see `Adding.verify`."""
        shard, error = self._find(transactional_id)
        if shard is None:
            return error
        return shard.adding.verify(transactional_id, producer_id, producer_epoch, partitions)

    def end_txn(self, request: EndTxnRequest, version: int) -> Pending[EndTxnResponse]:
        """EndTxn; from version 5 on the answer says who the producer is from now on."""
        shard, error = self._find(request.transactional_id)
        if shard is None:
            return _resolved(_end_response(EndResult(error)))
        answer: Pending[EndTxnResponse] = Pending()
        ended = shard.ending.end(
            EndRequest(
                request.transactional_id,
                request.producer_id,
                request.producer_epoch,
                request.committed,
                EPOCH_BUMP_VERSION if version >= _FIRST_END_WITH_BUMP else 0,
            )
        )
        ended.on_done(lambda done: answer.resolve(_end_response(done.result())))
        return answer

    # --- administrators

    def describe(self, transactional_ids: Iterable[str]) -> list[TransactionState]:
        """DescribeTransactions: each id once, in the order in which they are named first."""
        states = []
        for transactional_id in dict.fromkeys(transactional_ids):
            shard, error = self._find(transactional_id)
            if shard is None:
                state = TransactionState(error_code=error, transactional_id=transactional_id)
            else:
                state = described(shard.ledger, transactional_id)
            states.append(state)
        return states

    def totals(self) -> tuple[int, int, int]:
        """How many transactional ids, how many of them open, and for how many milliseconds the
        oldest of those; of the shards that are loaded."""
        now_ms = self._clock.now_ms()
        count = opened = oldest_ms = 0
        for shard in self._shards.values():
            if shard.state is not ShardState.ACTIVE:
                continue
            count += len(shard.ledger.transactions)
            opened += len(shard.ledger.open)
            start_ms = shard.ledger.open.oldest_start_ms
            if start_ms is not None:
                oldest_ms = max(oldest_ms, now_ms - start_ms)
        return count, opened, oldest_ms

    def list_transactions(
        self, request: ListTransactionsRequest, version: int
    ) -> Pending[ListTransactionsResponse]:
        """The transactional ids of all shards that pass the filters; many take several turns.

        COORDINATOR_LOAD_IN_PROGRESS, and no id, while a shard loads. A shard that cannot be loaded
        counts as led by nobody, as in Kafka: the log has said so.
        """
        if self._stopped:
            return _refused_list(ErrorCode.COORDINATOR_NOT_AVAILABLE)
        if not self.loaded:
            return _refused_list(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)
        try:
            wanted, unknown = _filter_of(request)
        except PatternError:
            return _refused_list(ErrorCode.INVALID_REGULAR_EXPRESSION)
        answer: Pending[ListTransactionsResponse] = Pending()
        ledgers = [
            shard.ledger for shard in self._shards.values() if shard.state is ShardState.ACTIVE
        ]
        steps = list_all(
            ledgers,
            wanted,
            self._clock.now_ms(),
            lambda rows: answer.resolve(
                ListTransactionsResponse(unknown_state_filters=unknown, transaction_states=rows)
            ),
        )
        if sum(len(ledger.transactions) for ledger in ledgers) <= LISTED_AT_ONCE:
            for _ in steps:
                pass
        else:
            self._surroundings.background.begin(steps)
        return answer


def _filter_of(request: ListTransactionsRequest) -> tuple[ListFilter, list[str]]:
    """(what is wanted, names that are no states); raises PatternError."""
    pattern = request.transactional_id_pattern
    names = request.state_filters
    wanted = ListFilter(
        states={STATES_BY_LABEL[one] for one in names if one in STATES_BY_LABEL} if names else None,
        producer_ids=frozenset(request.producer_id_filters),
        longer_than_ms=request.duration_filter,
        matches=IdPattern(pattern).matches if pattern else None,
    )
    return wanted, [one for one in names if one not in STATES_BY_LABEL]


def _refused_list(error: ErrorCode) -> Pending[ListTransactionsResponse]:
    return _resolved(ListTransactionsResponse(error_code=error))


def _end_response(result: EndResult) -> EndTxnResponse:
    return EndTxnResponse(
        error_code=result.error,
        producer_id=result.producer_id,
        producer_epoch=result.producer_epoch,
    )


def _resolved(value: T) -> Pending[T]:
    pending: Pending[T] = Pending()
    pending.resolve(value)
    return pending
