"""What producers are told, in the words that the version of their request knows.

A coordinator says PRODUCER_FENCED to whom another producer took over from; clients from before
that code are told INVALID_PRODUCER_EPOCH, which is what the produce path says to all of them.
Which version of which request begins to know it is Kafka's rule (KafkaApis).
"""

from typing import Any, Protocol, TypeVar

from tierbroker.base.pending import Pending
from tierbroker.wire.error_codes import ErrorCode

INIT_KNOWS_FENCED_SINCE = 4
"""Version of InitProducerId."""
TRANSACTION_KNOWS_FENCED_SINCE = 2
"""Version of AddPartitionsToTxn, AddOffsetsToTxn and EndTxn."""


class _Answer(Protocol):
    error_code: int


AnswerT = TypeVar("AnswerT", bound=_Answer)


def in_older_words(error: ErrorCode) -> ErrorCode:
    """INVALID_PRODUCER_EPOCH for PRODUCER_FENCED; any other error as it is."""
    return ErrorCode.INVALID_PRODUCER_EPOCH if error == ErrorCode.PRODUCER_FENCED else error


def translated(pending: Pending[AnswerT]) -> Pending[AnswerT]:
    """The same answer; its error is put into older words before anybody else sees it."""
    pending.on_done(_translate)
    return pending


def _translate(done: Pending[Any]) -> None:
    if done.error is None:
        answer = done.result()
        answer.error_code = in_older_words(answer.error_code)
