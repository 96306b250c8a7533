"""What an S3 store's answers mean, sorted as in `cold.errors`.

From a status and an error code where there was an answer; what came of a request without one is
unknown, and whoever wrote something looks before it judges.
"""

import re
from typing import NamedTuple

from tierbroker.cold.errors import (
    ObjectDamagedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
)

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z0-9]+)</Code>")
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")

_FULL = frozenset({"XMinioStorageFull", "InsufficientStorage", "QuotaExceeded"})
_TORN = frozenset({"BadDigest", "XAmzContentSHA256Mismatch", "IncompleteBody", "InvalidDigest"})
"""What the store received is not what was sent: the same upload may succeed the next time."""

_LATER = frozenset({"SlowDown", "RequestTimeout", "NoSuchUpload"})

_ABSENT = frozenset({"NoSuchKey", "NotFound", "NoSuchVersion"})
"""The codes of a 404 about the object. Others are about the bucket, or about who asks."""

_NEXT_STEPS = {
    "NoSuchBucket": "make the bucket, or correct cold.url",
    "InvalidAccessKeyId": "check cold.s3.access.key.id",
    "XAdminUserNotFound": "check cold.s3.access.key.id",
    "SignatureDoesNotMatch": "check cold.s3.secret.access.key",
    "RequestTimeTooSkewed": "set this machine's clock: it is too far from the store's",
    "AuthorizationHeaderMalformed": "set cold.s3.region to the bucket's region",
    "PermanentRedirect": "set cold.s3.region to the bucket's region",
    "AccessDenied": "allow this key s3:GetObject, PutObject, DeleteObject, ListBucket, "
    "AbortMultipartUpload and ListBucketMultipartUploads on the bucket and prefix",
    "ExpiredToken": "renew the temporary credentials",
    "InvalidObjectState": "the object's storage class must be restored before it can be read",
    "MissingContentLength": "the store needs a setting that is not known here",
}


class S3Failure(NamedTuple):
    """A request that failed: with an answer, or with none (status None)."""

    status: int | None
    code: str
    detail: str


def parse_failure(text: str) -> S3Failure:
    """From the text of an error of the library: its first line, and the answer inside."""
    status = _STATUS.search(text)
    code = _CODE.search(text)
    message = _MESSAGE.search(text)
    first = text.split("\n", 1)[0].split(": <?xml", 1)[0].split("<Error>", 1)[0].strip(" -:")
    detail = f"{first} ({message[1]})" if message else first
    return S3Failure(int(status[1]) if status else None, code[1] if code else "", detail)


def judge(failure: S3Failure, url: str, key: str) -> StoreError:
    """The error that the failure is, with a message for a person."""
    status, code, detail = failure
    said = f"{url}: {key}: {code or status or 'no answer'}: {detail}"
    if status is None or status in (408, 425, 429) or code in _LATER:
        return StoreUnavailableError(said)
    if code in _FULL or status == 507:
        return StoreRefusedError(f"{said}. The store is full")
    if code in _TORN or "Checksum" in code:
        return StoreUnavailableError(f"{said}. What arrived was not what was sent")
    if status == 404 and code in _ABSENT:
        return ObjectNotFoundError(f"{url}: no object {key}")
    if status == 404 and not code:
        return StoreUnavailableError(f"{said}. No store of S3 says it like this")
    if status == 412:
        return PreconditionFailedError(f"{url}: {key} is there already, or is another one by now")
    if status == 409:
        return StoreUnavailableError(f"{said}. Another write was under way")
    if status == 416:
        return ObjectDamagedError(f"{url}: {key} is shorter than it should be")
    if status >= 500 and status != 501:
        return StoreUnavailableError(said)
    step = _NEXT_STEPS.get(code)
    return StoreRefusedError(f"{said}. Next: {step}" if step else said)
