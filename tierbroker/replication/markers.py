"""Transaction markers: the control record that ends a producer's transaction in a partition.

A marker is appended as everybody's batches are, with acks=all, and judged by the log in its turn:
by the producer's epoch and by that of the coordinator that sends it. Never decides anything.
"""

from collections.abc import Callable

from tierbroker.base.errors import ApiError
from tierbroker.hot.log import AppendResult
from tierbroker.hot.producer_state import AppendOrigin
from tierbroker.records.batch import read_header
from tierbroker.records.control import ControlType, EndTxnMarker, build_marker_batch
from tierbroker.replication.partition import ACKS_ALL, Partition

_EPOCH_BUMP_VERSION = 2


def append_marker(
    partition: Partition,
    *,
    producer_id: int,
    producer_epoch: int,
    commit: bool,
    coordinator_epoch: int,
    transaction_version: int,
    now_ms: int,
    done: Callable[[ApiError | None], None],
) -> None:
    """Queue a marker; `done` gets None once it is visible, else the error, perhaps in this call.

    InvalidProducerEpochError: the producer is beyond that epoch. TransactionCoordinatorFencedError:
    a later coordinator has written here. NotLeaderOrFollowerError, KafkaStorageError and
    NotEnoughReplicasError pass. The reserve of the disk may be used (D-6): a transaction that
    cannot be ended holds up its readers.
    """
    try:
        partition.check_leader()
        partition.online_log()
        partition.check_in_sync()
    except ApiError as error:
        done(error)
        return
    kind = ControlType.COMMIT if commit else ControlType.ABORT
    batch = bytearray(
        build_marker_batch(
            EndTxnMarker(kind, coordinator_epoch),
            timestamp_ms=now_ms,
            producer_id=producer_id,
            producer_epoch=producer_epoch,
        )
    )
    bumped = transaction_version >= _EPOCH_BUMP_VERSION
    origin = AppendOrigin.COORDINATOR_2 if bumped else AppendOrigin.COORDINATOR

    def finish(result: AppendResult | ApiError) -> None:
        done(result if isinstance(result, ApiError) else None)

    partition.append(batch, read_header(batch), ACKS_ALL, finish, origin)
