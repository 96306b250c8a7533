"""What a bucket says about itself: versions, locks, lifecycle, encryption, uploads that were left.

Questions alone; what follows from the answers is for `cold.probe_bucket` to say. They block, so
they run on a worker thread.
"""

from dataclasses import dataclass
from xml.etree import ElementTree

from tierbroker.cold.errors import StoreError
from tierbroker.cold.stores.s3_requests import (
    LeftUpload,
    S3Answer,
    S3Requests,
    abort_upload,
    left_uploads,
)


@dataclass(frozen=True, slots=True)
class LifecycleRule:
    """One rule of the bucket, as far as it matters here."""

    name: str
    prefix: str
    """It is about keys that begin so."""
    transitions: tuple[str, ...] = ()
    """Storage classes that objects move to in time."""
    expires: bool = False
    """It deletes objects."""
    drops_versions: bool = False
    aborts_after_days: int | None = None
    """It removes unfinished multipart uploads."""
    narrowed: bool = False
    """Tags or sizes decide as well which objects it is about."""


@dataclass(frozen=True, slots=True)
class BucketFacts:
    """The answers; a string is the reason why there is none."""

    versioning: bool | str
    object_lock: "ObjectLock | str | None"
    lifecycle: tuple[LifecycleRule, ...] | str
    lists_uploads: bool | str
    """Whether an unfinished upload is listed among all others."""


@dataclass(frozen=True, slots=True)
class ObjectLock:
    """Objects of the bucket can be locked; with a mode, each new one is."""

    mode: str = ""
    period: str = ""


def ask_bucket(requests: S3Requests, prefix: str, probe_key: str) -> BucketFacts:
    """Ask everything. `probe_key` is a full key under which an upload is begun and given up."""
    return BucketFacts(
        _versioning(requests),
        _object_lock(requests),
        _lifecycle(requests),
        _lists_uploads(requests, prefix, probe_key),
    )


def encryption_of(requests: S3Requests, path: str) -> str:
    """How the store says that it encrypts this object; empty when it does not say."""
    return requests.ask("HEAD", path).headers.get("x-amz-server-side-encryption", "")


def storage_class_of(requests: S3Requests, path: str) -> str:
    """The object's storage class; the header is left out for the standard one."""
    return requests.ask("HEAD", path).headers.get("x-amz-storage-class", "STANDARD")


def parse_lifecycle(tree: ElementTree.Element) -> tuple[LifecycleRule, ...]:
    """The rules that are switched on."""
    return tuple(
        _rule(rule) for rule in tree.iterfind("Rule") if rule.findtext("Status") != "Disabled"
    )


def _rule(rule: ElementTree.Element) -> LifecycleRule:
    prefix = rule.findtext("Prefix")
    for place in ("Filter/Prefix", "Filter/And/Prefix"):
        prefix = prefix or rule.findtext(place)
    narrowing = ("Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan")
    narrowed = any(
        rule.find(f"{place}{name}") is not None
        for place in ("Filter/", "Filter/And/")
        for name in narrowing
    )
    days = rule.findtext("AbortIncompleteMultipartUpload/DaysAfterInitiation")
    return LifecycleRule(
        name=rule.findtext("ID") or "",
        prefix=prefix or "",
        transitions=tuple(
            transition.findtext("StorageClass") or "" for transition in rule.iterfind("Transition")
        ),
        expires=any(rule.find(f"Expiration/{name}") is not None for name in ("Days", "Date")),
        drops_versions=rule.find("NoncurrentVersionExpiration") is not None,
        aborts_after_days=int(days) if days and days.isdigit() else None,
        narrowed=narrowed,
    )


def _ask(requests: S3Requests, what: str, absent: str) -> ElementTree.Element | str:
    """The bucket's configuration of one kind; an element without children when there is none."""
    try:
        answer = requests.try_asking("GET", query={what: ""})
    except StoreError as error:
        return str(error)
    if answer.status < 300:
        return _tree(answer)
    failure = requests.failure(answer, "GET")
    if failure.code == absent:
        return ElementTree.Element("None")
    return f"{failure.code or failure.status}: {failure.detail}"


def _tree(answer: S3Answer) -> ElementTree.Element | str:
    try:
        return answer.tree()
    except ElementTree.ParseError as error:
        return f"no XML: {error}"


def _versioning(requests: S3Requests) -> bool | str:
    found = _ask(requests, "versioning", "NoSuchVersioningConfiguration")
    return found if isinstance(found, str) else found.findtext("Status") == "Enabled"


def _object_lock(requests: S3Requests) -> ObjectLock | str | None:
    found = _ask(requests, "object-lock", "ObjectLockConfigurationNotFoundError")
    if isinstance(found, str):
        return found
    if found.findtext("ObjectLockEnabled") != "Enabled":
        return None
    days = found.findtext("Rule/DefaultRetention/Days")
    years = found.findtext("Rule/DefaultRetention/Years")
    period = f"{days} days" if days else f"{years} years" if years else ""
    return ObjectLock(found.findtext("Rule/DefaultRetention/Mode") or "", period)


def _lifecycle(requests: S3Requests) -> tuple[LifecycleRule, ...] | str:
    found = _ask(requests, "lifecycle", "NoSuchLifecycleConfiguration")
    return found if isinstance(found, str) else parse_lifecycle(found)


def _lists_uploads(requests: S3Requests, prefix: str, probe_key: str) -> bool | str:
    try:
        tree = requests.ask("POST", probe_key, {"uploads": ""}).tree()
        begun = LeftUpload(probe_key, tree.findtext("UploadId") or "", 0)
        try:
            listed = [upload.upload_id for upload in left_uploads(requests, prefix)]
        finally:
            abort_upload(requests, begun)
    except (StoreError, ElementTree.ParseError) as error:
        return str(error)
    return begun.upload_id in listed
