"""The tier's decisions, put to the metadata driver (`cold.ports.TierLedger`)."""

from collections.abc import Iterable, Sequence

from tierbroker.base.clock import Clock
from tierbroker.base.errors import ApiError
from tierbroker.base.ids import Uuid
from tierbroker.base.pending import Pending
from tierbroker.cold.ports import UploadPlan
from tierbroker.controller.driver import MetadataDriver
from tierbroker.controller.state import tier
from tierbroker.records.tier.events import TierIntent
from tierbroker.records.tier.segment import TierSegment, TierSlice
from tierbroker.records.tier.state import TierState


class TierDecisions:
    """Every call is one decision of the controller."""

    def __init__(self, driver: MetadataDriver, clock: Clock) -> None:
        self._driver = driver
        self._clock = clock

    @property
    def state(self) -> TierState:
        """All that is committed."""
        return self._driver.image.tier

    @property
    def metadata_offset(self) -> int:
        """Offset of the last metadata record that `state` contains."""
        return self._driver.image.offset

    def bind_store(self, store_id: Uuid, incarnation: Uuid) -> Pending[None]:
        """The store's identity, and under which incarnation the cluster writes there."""
        return self._driver.submit(lambda image: tier.bind_store(image, store_id, incarnation))

    def begin_uploads(self, plans: Sequence[UploadPlan]) -> Pending[list[TierIntent | ApiError]]:
        """Write intents; one answer a plan."""
        return self._driver.submit(lambda image: tier.begin_uploads(image, plans))

    def commit_upload(self, topic_id: Uuid, partition: int, segment: TierSegment) -> Pending[None]:
        """The object is in the store and verified."""
        return self._driver.submit(
            lambda image: tier.commit_upload(image, topic_id, partition, segment)
        )

    def commit_slice(self, topic_id: Uuid, partition: int, spilled: TierSlice) -> Pending[None]:
        """A manifest object takes the place of the segments that it lists."""
        return self._driver.submit(lambda image: tier.spill(image, topic_id, partition, spilled))

    def abandon_uploads(self, intents: Iterable[TierIntent]) -> Pending[None]:
        """Their objects may exist and must never count."""
        given_up, now_ms = tuple(intents), self._clock.now_ms()
        return self._driver.submit(lambda image: tier.abandon_uploads(image, given_up, now_ms))

    def retire(
        self, topic_id: Uuid, partition: int, leader_epoch: int, log_start_offset: int
    ) -> Pending[None]:
        """The log starts there now: objects wholly below become garbage."""
        now_ms = self._clock.now_ms()
        return self._driver.submit(
            lambda image: tier.retire(
                image, topic_id, partition, leader_epoch, log_start_offset, now_ms
            )
        )

    def drop(
        self, topic_id: Uuid, partition: int, leader_epoch: int, log_start_offset: int
    ) -> Pending[None]:
        """The partition is tiered no more: all its objects are garbage, the log starts there."""
        now_ms = self._clock.now_ms()
        return self._driver.submit(
            lambda image: tier.drop(
                image, topic_id, partition, leader_epoch, log_start_offset, now_ms
            )
        )

    def forget(
        self, topic_id: Uuid, partition: int, intent_offsets: Sequence[int]
    ) -> Pending[None]:
        """These garbage objects are deleted."""
        return self._driver.submit(
            lambda image: tier.forget(image, topic_id, partition, intent_offsets)
        )

    def finish_purge(self, topic_id: Uuid) -> Pending[None]:
        """No object of the deleted topic is left."""
        return self._driver.submit(lambda image: tier.finish_purge(image, topic_id))

    def note_checkpoint(self, sequence: int, metadata_offset: int) -> Pending[None]:
        """A bucket checkpoint of the metadata as of that offset is durable."""
        now_ms = self._clock.now_ms()
        return self._driver.submit(
            lambda image: tier.note_checkpoint(image, sequence, metadata_offset, now_ms)
        )
