"""Trap 15: one error, told by the words that the client knows."""

from tierbroker.base.errors import NotControllerError
from tierbroker.base.pending import Pending
from tierbroker.broker.transaction_errors import in_older_words, translated
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.end_txn import EndTxnResponse


def test_only_the_fenced_producer_is_told_otherwise() -> None:
    changed = {error for error in ErrorCode if in_older_words(error) is not error}
    assert changed == {ErrorCode.PRODUCER_FENCED}
    assert in_older_words(ErrorCode.PRODUCER_FENCED) is ErrorCode.INVALID_PRODUCER_EPOCH


def test_an_answer_is_translated_before_anybody_sees_it() -> None:
    pending: Pending[EndTxnResponse] = Pending()
    seen: list[int] = []
    translated(pending).on_done(lambda done: seen.append(done.result().error_code))
    pending.resolve(EndTxnResponse(error_code=ErrorCode.PRODUCER_FENCED))
    assert seen == [ErrorCode.INVALID_PRODUCER_EPOCH]


def test_a_failure_stays_one() -> None:
    pending: Pending[EndTxnResponse] = Pending()
    translated(pending)
    failure = NotControllerError("elsewhere")
    pending.fail(failure)
    assert pending.error is failure
