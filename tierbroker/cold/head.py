"""The one small object of a cluster that changes: who it is, and its latest checkpoint.

Restore and archive start here. It is replaced by compare and swap, so that of two processes that
take themselves for the same cluster only one goes on; a store that ignores conditions is found out
by reading back what was written. The truth about segments is never here, it is in the metadata
log.
"""

import json
from dataclasses import dataclass

from tierbroker.base.ids import Uuid, parse_uuid, uuid_text
from tierbroker.base.story import until
from tierbroker.cold.errors import (
    ObjectDamagedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreMismatchError,
)
from tierbroker.cold.keys import HEAD_KEY
from tierbroker.cold.ports import ObjectStore

FORMAT = 1
MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class CheckpointName:
    """A checkpoint in the bucket."""

    key: str
    size_bytes: int
    checksum: int
    """CRC-64/NVME of the object."""
    metadata_offset: int
    sequence: int
    taken_ms: int


@dataclass(frozen=True, slots=True)
class Head:
    """What the head object says."""

    cluster_id: str
    store_id: Uuid
    incarnation: Uuid
    checkpoints: tuple[CheckpointName, ...] = ()
    """The latest ones, newest first."""
    leader_epochs_from: int = 0
    """What the incarnation began with; 0 unless a restore made it. The next restore goes past it,
    also from a checkpoint that is older than this incarnation and knows nothing of it."""
    producer_ids_from: int = 0
    """The same for producer ids."""

    @property
    def latest(self) -> CheckpointName | None:
        """Where a restore begins; None before the first checkpoint."""
        return self.checkpoints[0] if self.checkpoints else None


def encode_head(head: Head) -> bytes:
    """JSON, for people too."""
    content: dict[str, object] = {
        "format": FORMAT,
        "cluster_id": head.cluster_id,
        "store_id": uuid_text(head.store_id),
        "incarnation": uuid_text(head.incarnation),
        "checkpoints": [
            {
                "key": name.key,
                "size_bytes": name.size_bytes,
                "crc64nvme": f"{name.checksum:016x}",
                "metadata_offset": name.metadata_offset,
                "sequence": name.sequence,
                "taken_ms": name.taken_ms,
            }
            for name in head.checkpoints
        ],
    }
    if head.leader_epochs_from or head.producer_ids_from:
        content["leader_epochs_from"] = head.leader_epochs_from
        content["producer_ids_from"] = head.producer_ids_from
    return (json.dumps(content, indent=1) + "\n").encode()


def decode_head(data: bytes | memoryview) -> Head:
    """Raises ObjectDamagedError for what is no head, or one of a later format."""
    try:
        content = json.loads(bytes(data))
        if content["format"] != FORMAT:
            raise ObjectDamagedError(
                f"{HEAD_KEY} has format {content['format']}, this release reads {FORMAT}"
            )
        return Head(
            cluster_id=str(content["cluster_id"]),
            store_id=parse_uuid(content["store_id"]),
            incarnation=parse_uuid(content["incarnation"]),
            checkpoints=tuple(
                CheckpointName(
                    key=str(name["key"]),
                    size_bytes=int(name["size_bytes"]),
                    checksum=int(name["crc64nvme"], 16),
                    metadata_offset=int(name["metadata_offset"]),
                    sequence=int(name["sequence"]),
                    taken_ms=int(name["taken_ms"]),
                )
                for name in content["checkpoints"]
            ),
            leader_epochs_from=int(content.get("leader_epochs_from", 0)),
            producer_ids_from=int(content.get("producer_ids_from", 0)),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ObjectDamagedError(
            f"the object {HEAD_KEY} is no head of a cluster ({error!r}). Next: put it back as it "
            "was, from the bucket's versions or a copy"
        ) from error


async def read_head(store: ObjectStore) -> tuple[Head, str] | None:
    """The head and its etag; None in a store without one. Raises StoreError."""
    try:
        facts = await until(store.head(HEAD_KEY))
        if facts.size_bytes > MAX_BYTES:
            raise ObjectDamagedError(f"{HEAD_KEY} in {store.url} has {facts.size_bytes} bytes")
        data = await until(store.get_range(HEAD_KEY, 0, facts.size_bytes))
    except ObjectNotFoundError:
        return None
    try:
        return decode_head(data), facts.etag
    except ObjectDamagedError as error:
        raise ObjectDamagedError(f"{store.url}: {error}") from error


class HeadChangedError(StoreMismatchError):
    """The head is not the one that was to be replaced."""

    def __init__(self, message: str, found: tuple[Head, str] | None) -> None:
        super().__init__(message)
        self.found = found
        """What it is, and its etag; None when it is gone."""


class HeadMissingError(HeadChangedError):
    """There is no head any more, where this cluster had one.

    It is not made anew, not even on the condition that there is none: this process cannot know
    whose head was removed. A restore elsewhere (B) replaces the head of this one (A) by its own;
    somebody removes that; A, which has not written since, would find no head, write its own, and
    B's next write would be the one that is refused: the old host had taken the cluster back.
    """

    def __init__(self, store: ObjectStore) -> None:
        super().__init__(
            f"the object {HEAD_KEY} in {store.url} is gone: somebody removed it, or the store lost "
            "it. Without it nothing can be restored from there: until it is back nothing is "
            "uploaded, no object is deleted and no local record let go for being cold; produce and "
            "consume go on. Next: put it back as it was, from the bucket's versions or a copy; "
            "the broker looks for it twice a minute. Whether the store is well otherwise: "
            f"tierbroker tier check {store.url}",
            None,
        )


def changed(store: ObjectStore, head: Head, found: tuple[Head, str] | None) -> HeadChangedError:
    """The error that it is to find this instead of the head."""
    if found is None:
        return HeadMissingError(store)
    return HeadChangedError(_lost(store, head, found[0]), found)


async def write_head(store: ObjectStore, head: Head, etag: str | None) -> str:
    """Replace the head that has this etag, or make the first one; answers the new etag.

    Raises HeadChangedError when it is another one by now, StoreError: then it may have been
    replaced or not, and may even be replaced later.
    """
    data = encode_head(head)
    try:
        written = await until(store.put(HEAD_KEY, [data], if_absent=etag is None, if_match=etag))
    except PreconditionFailedError as error:
        found = await read_head(store)
        if found is None or found[0] != head:
            raise changed(store, head, found) from error
        # An attempt that was taken for lost had done it.
        return found[1]
    found = await read_head(store)
    if found is None or found[0] != head:
        raise changed(store, head, found)
    return written.etag


def _lost(store: ObjectStore, head: Head, other: Head) -> str:
    if other.cluster_id != head.cluster_id:
        return f"{store.url} holds cluster {other.cluster_id}, this is cluster {head.cluster_id}"
    if other.incarnation != head.incarnation:
        return (
            f"cluster {head.cluster_id} was restored from {store.url} as incarnation "
            f"{uuid_text(other.incarnation)}; this one, {uuid_text(head.incarnation)}, is the old "
            "host and must not go on writing there"
        )
    return f"another process writes {HEAD_KEY} in {store.url} for cluster {head.cluster_id}"
