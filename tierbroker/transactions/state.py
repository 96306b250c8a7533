"""The states of a transactional id. Numbers and names are Kafka's, on disk and in answers."""

from enum import IntEnum


class TransactionState(IntEnum):
    """Where the last transaction of a transactional id stands."""

    EMPTY = 0
    """There was none yet since the producer was initialized."""
    ONGOING = 1
    PREPARE_COMMIT = 2
    """It is decided, for good; the markers are being written."""
    PREPARE_ABORT = 3
    COMPLETE_COMMIT = 4
    """Every partition has its marker."""
    COMPLETE_ABORT = 5
    DEAD = 6
    """The id has expired and its tombstone is being written; only ever a pending state."""
    PREPARE_EPOCH_FENCE = 7
    """The producer is about to be fenced and its transaction aborted; only a pending state."""

    @property
    def label(self) -> str:
        """The name in answers and filters."""
        return _LABELS[self]

    @property
    def is_decided(self) -> bool:
        """Whether the transaction has an outcome that is not yet in all of its partitions."""
        return self in (TransactionState.PREPARE_COMMIT, TransactionState.PREPARE_ABORT)

    @property
    def is_quiet(self) -> bool:
        """Whether no transaction is open: a new one may begin, and the id may expire."""
        return self in _QUIET


_LABELS = {state: "".join(map(str.title, state.name.split("_"))) for state in TransactionState}
_QUIET = frozenset(
    (TransactionState.EMPTY, TransactionState.COMPLETE_COMMIT, TransactionState.COMPLETE_ABORT)
)
STATES_BY_LABEL = {label: state for state, label in _LABELS.items()}
"""Every state by its name in filters."""
