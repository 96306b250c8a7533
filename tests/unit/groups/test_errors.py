"""What is told when a record could not be written."""

import pytest

from tierbroker.base import errors
from tierbroker.groups.errors import group_write_error
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
        (errors.InvalidTimestampError(), ErrorCode.INVALID_TIMESTAMP),
    ],
)
def test_errors_of_the_log_become_those_of_a_coordinator(
    error: errors.ApiError, code: ErrorCode
) -> None:
    assert group_write_error(error) is code
