"""What the answers of a store mean."""

import pytest

from tierbroker.cold.errors import (
    ObjectDamagedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
)
from tierbroker.cold.stores.s3_errors import S3Failure, judge, parse_failure

LIBRARY = (
    "Object at location p/x not found: Error performing GET http://127.0.0.1/b/p/x in 1ms - Server "
    'returned non-2xx status code: 404 Not Found: <?xml version="1.0"?>\n<Error><Code>NoSuchKey'
    "</Code><Message>The key is not there.</Message></Error>"
)


def test_an_answer_is_found_in_the_text_of_the_library() -> None:
    failure = parse_failure(LIBRARY)
    assert (failure.status, failure.code) == (404, "NoSuchKey")
    assert failure.detail.endswith("404 Not Found (The key is not there.)")
    assert "<" not in failure.detail


def test_no_answer_is_found_in_a_text_without_one() -> None:
    assert parse_failure("Connection refused")[:2] == (None, "")


@pytest.mark.parametrize(
    ("status", "code", "kind", "said"),
    [
        (404, "NoSuchKey", ObjectNotFoundError, "no object k"),
        (404, "NoSuchBucket", StoreRefusedError, "make the bucket"),
        # versitygw; taken for an absent object, garbage would be forgotten instead of deleted.
        (404, "XAdminUserNotFound", StoreRefusedError, "check cold.s3.access.key.id"),
        (404, "", StoreUnavailableError, "No store of S3"),
        (404, "NoSuchUpload", StoreUnavailableError, "NoSuchUpload"),
        (None, "", StoreUnavailableError, "no answer"),
        (429, "", StoreUnavailableError, "429"),
        (503, "SlowDown", StoreUnavailableError, "SlowDown"),
        (500, "InternalError", StoreUnavailableError, "InternalError"),
        (501, "NotImplemented", StoreRefusedError, "NotImplemented"),
        (507, "", StoreRefusedError, "is full"),
        (400, "BadDigest", StoreUnavailableError, "not what was sent"),
        (400, "XAmzContentChecksumMismatch", StoreUnavailableError, "not what was sent"),
        (403, "SignatureDoesNotMatch", StoreRefusedError, "check cold.s3.secret.access.key"),
        (403, "InvalidObjectState", StoreRefusedError, "must be restored"),
        (409, "ConditionalRequestConflict", StoreUnavailableError, "Another write"),
        (412, "PreconditionFailed", PreconditionFailedError, "is there already"),
        (416, "InvalidRange", ObjectDamagedError, "shorter"),
    ],
)
def test_what_an_answer_means(
    status: int | None, code: str, kind: type[StoreError], said: str
) -> None:
    error = judge(S3Failure(status, code, "detail"), "s3://b/p", "k")
    assert type(error) is kind
    assert said in str(error)
    assert "s3://b/p" in str(error)
