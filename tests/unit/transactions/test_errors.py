"""The errors of the log as producers hear them: Kafka's mapping."""

import pytest

from tierbroker.base import errors
from tierbroker.base.errors import ApiError
from tierbroker.transactions.errors import transaction_write_error
from tierbroker.wire.error_codes import ErrorCode


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UnknownTopicOrPartitionError(), ErrorCode.COORDINATOR_NOT_AVAILABLE),
        (errors.NotEnoughReplicasError(), ErrorCode.COORDINATOR_NOT_AVAILABLE),
        (errors.NotEnoughReplicasAfterAppendError(), ErrorCode.COORDINATOR_NOT_AVAILABLE),
        (errors.RequestTimedOutError(), ErrorCode.COORDINATOR_NOT_AVAILABLE),
        (errors.NotLeaderOrFollowerError(), ErrorCode.NOT_COORDINATOR),
        (errors.KafkaStorageError(), ErrorCode.NOT_COORDINATOR),
        (errors.MessageTooLargeError(), ErrorCode.UNKNOWN_SERVER_ERROR),
        (errors.RecordListTooLargeError(), ErrorCode.UNKNOWN_SERVER_ERROR),
        (errors.CorruptMessageError(), ErrorCode.CORRUPT_MESSAGE),
    ],
)
def test_errors(error: ApiError, code: ErrorCode) -> None:
    assert transaction_write_error(error) is code
