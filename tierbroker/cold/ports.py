"""What the cold tier needs of others: a store for objects, the metadata log, the local logs.

Everything that waits is a `Pending`. Nothing here knows a request of a client.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from tierbroker.base.errors import ApiError
from tierbroker.base.ids import TopicPartition, Uuid
from tierbroker.base.parts import Part
from tierbroker.base.pending import Pending
from tierbroker.cold.container import SectionBody
from tierbroker.cold.planner import TierConfig
from tierbroker.records.tier.events import TierIntent
from tierbroker.records.tier.local import LocalSegment, SegmentContent
from tierbroker.records.tier.segment import ObjectKind, TierSegment, TierSlice
from tierbroker.records.tier.state import TierState


class ObjectFacts(NamedTuple):
    """What a store says of an object."""

    key: str
    size_bytes: int
    etag: str
    """Changes with the content; for `if_match`."""
    checksum: int | None
    """CRC-64/NVME of the whole object, where it was computed or the store keeps it."""
    modified_ms: int


class ObjectPage(NamedTuple):
    """A piece of a listing, in the order of the keys."""

    objects: list[ObjectFacts]
    next_after: str | None
    """Ask for what comes after this key; None at the end."""


class ObjectWriter(Protocol):
    """The way in: all that uploading needs. Keys and errors as `ObjectStore` has them."""

    def put(
        self,
        key: str,
        body: Sequence[Part],
        *,
        if_absent: bool = False,
        if_match: str | None = None,
    ) -> Pending[ObjectFacts]:
        """Write an object whole; durable and visible when done, with its checksum computed.

        Slices keep their leases until the `Pending` is done; then the store needs them no more,
        the caller releases them. Large bodies go in bounded parts. Raises PreconditionFailedError
        for a condition that does not hold.
        """


class ObjectReader(Protocol):
    """The way out: all that cold reads need. Keys and errors as `ObjectStore` has them."""

    def get_range(self, key: str, start: int, length: int) -> Pending[bytes | memoryview]:
        """Exactly `length` bytes from byte `start` on.

        Raises ObjectNotFoundError, and ObjectDamagedError when the object is shorter.
        """


class ObjectStore(ObjectReader, ObjectWriter, Protocol):
    """Keys are relative to the store's prefix, without a leading slash.

    Every operation fails with an error of `cold.errors`; nothing else comes out of a store. All
    but `list` are bounded in time by the store's own deadlines and retries.
    """

    url: str
    """Where it is, for people; without credentials."""

    def head(self, key: str) -> Pending[ObjectFacts]:
        """Size and age; raises ObjectNotFoundError."""

    def delete(self, key: str) -> Pending[None]:
        """Remove the object; one that is not there is a success."""

    def list(self, prefix: str, after: str | None = None) -> Pending[ObjectPage]:
        """Objects whose key begins with `prefix`: for restore and scrub, never on a normal path."""

    def close(self) -> None:
        """Give up connections; nothing is under way any more."""


class UploadPlan(NamedTuple):
    """A segment (or manifest slice) that is to go to the store."""

    topic_id: Uuid
    partition: int
    leader_epoch: int
    base_offset: int
    end_offset: int
    """Inclusive: the next segment's base - 1."""
    kind: ObjectKind


class TierView(Protocol):
    """What the tier holds: all that reading it needs."""

    @property
    def state(self) -> TierState:
        """All that is committed."""


class TierLedger(TierView, Protocol):
    """The tier's part of the metadata log: what is committed, and the way to decide more.

    A decision that is refused fails with an ApiError, one that could not be stored with
    KafkaStorageError or NotControllerError: nothing is decided then.
    """

    @property
    def metadata_offset(self) -> int:
        """Offset of the last metadata record that `state` contains."""

    def begin_uploads(self, plans: Sequence[UploadPlan]) -> Pending[list[TierIntent | ApiError]]:
        """Write intents; one answer a plan."""

    def commit_upload(self, topic_id: Uuid, partition: int, segment: TierSegment) -> Pending[None]:
        """The object is in the store and verified. Refused when the leader epoch has moved."""

    def commit_slice(self, topic_id: Uuid, partition: int, spilled: TierSlice) -> Pending[None]:
        """A manifest object takes the place of the segments that it lists."""

    def abandon_uploads(self, intents: Iterable[TierIntent]) -> Pending[None]:
        """Their objects may exist and must never count."""

    def retire(
        self, topic_id: Uuid, partition: int, leader_epoch: int, log_start_offset: int
    ) -> Pending[None]:
        """The log starts at `log_start_offset` now: objects wholly below become garbage."""

    def drop(
        self, topic_id: Uuid, partition: int, leader_epoch: int, log_start_offset: int
    ) -> Pending[None]:
        """The partition is tiered no more: all its objects are garbage, the log starts there."""

    def forget(
        self, topic_id: Uuid, partition: int, intent_offsets: Sequence[int]
    ) -> Pending[None]:
        """These garbage objects are deleted."""

    def finish_purge(self, topic_id: Uuid) -> Pending[None]:
        """No object of the deleted topic is left."""

    def note_checkpoint(self, sequence: int, metadata_offset: int) -> Pending[None]:
        """A bucket checkpoint of the metadata as of that offset is durable."""


class LocalPartition(Protocol):
    """A tiered partition that this broker leads, as far as the tier may know it."""

    topic_partition: TopicPartition
    topic_id: Uuid
    leader_epoch: int

    @property
    def is_leader(self) -> bool:
        """Whether this broker still leads it in that epoch."""

    @property
    def config(self) -> TierConfig:
        """The topic's settings, as they are now."""

    @property
    def upload_limit(self) -> int:
        """min(last stable offset, high watermark, flushed offset): nothing at or above goes."""

    @property
    def log_start_offset(self) -> int:
        """The first offset that may be read, wherever it lies."""

    @property
    def active_base_offset(self) -> int:
        """Where the segment begins that is not closed yet."""

    @property
    def active_bytes(self) -> int:
        """What that segment holds."""

    def closed_segments(self, from_offset: int) -> Sequence[LocalSegment]:
        """The closed segments that hold `from_offset` or come later; raises KafkaStorageError."""

    def open_segment(self, base_offset: int) -> SegmentContent:
        """Borrow a closed segment; raises KafkaStorageError, LookupError when it is gone."""


class LocalLogs(Protocol):
    """The tiered partitions that this broker leads."""

    def __iter__(self) -> Iterator[LocalPartition]: ...


class CheckpointContent(NamedTuple):
    """A cluster at one moment, as a restore needs it."""

    metadata_offset: int
    """Of the last metadata record contained."""
    metadata: SectionBody
    """A snapshot in KRaft's format, large ones in a file: whoever has it releases the parts."""
    group_offsets: bytes
    """JSON lines: one a committed offset."""
    log_ends: bytes
    """JSON lines: one a partition, where its hot log begins and ends."""


class ClusterState(Protocol):
    """Where checkpoints come from."""

    def take(self, known_offset: int = -1) -> Pending[CheckpointContent]:
        """The newest committed state; takes a few turns of the loop.

        `metadata` is left out when it says nothing newer than `known_offset`.
        """
