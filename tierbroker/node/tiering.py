"""The broker's cold tier: its store, who works with it, and when.

Composition and clockwork; every decision is in `cold` and `controller.state`. A store that does
not answer never stops the broker: what should go there waits, and is kept here meanwhile. A store
that is another cluster's does stop the start, or all work with it.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from tierbroker import __version__
from tierbroker.base.clock import Clock
from tierbroker.base.config import ConfigValues
from tierbroker.base.errors import ApiError, KafkaStorageError
from tierbroker.base.executor import ThreadExecutor
from tierbroker.base.fs import FileSystem
from tierbroker.base.ids import TopicPartition, Uuid
from tierbroker.base.pending import Pending
from tierbroker.base.scheduler import Scheduler
from tierbroker.base.story import Stories, sleep, tell, until
from tierbroker.cold.binding import bind, look
from tierbroker.cold.checkpointer import Checkpointer
from tierbroker.cold.config import split_url
from tierbroker.cold.errors import StoreError, StoreMismatchError
from tierbroker.cold.head import HeadMissingError
from tierbroker.cold.outage_log import OutageLog
from tierbroker.cold.ports import LocalPartition, ObjectStore, ObjectWriter
from tierbroker.cold.rate import UNLIMITED, ByteRate, RatedReads
from tierbroker.cold.reader import ColdRead, ReadLimits, TierReader
from tierbroker.cold.remover import Remover
from tierbroker.cold.room import RoomKeeper
from tierbroker.cold.spiller import Spiller
from tierbroker.cold.spool import Spool
from tierbroker.cold.stores import StorePorts, open_store
from tierbroker.cold.stores.unfinished import UploadsInParts
from tierbroker.cold.time_search import ColdOffset
from tierbroker.cold.unfinished_remover import UnfinishedRemover
from tierbroker.cold.uploader import Uploader, UploadLimits
from tierbroker.cold.watched_store import WatchedStore
from tierbroker.hot import log_tiering
from tierbroker.hot.log import Log
from tierbroker.node.cluster_state import ClusterSnapshots
from tierbroker.node.tier_catching_up import CatchingUp, must_catch_up
from tierbroker.node.tier_ledger import TierDecisions
from tierbroker.node.tier_offload import offload
from tierbroker.node.tier_overdue import OverdueData
from tierbroker.node.tier_retention import TierRetention
from tierbroker.records.tier.state import PartitionTier
from tierbroker.replication.partition import Partition
from tierbroker.replication.partitions import Partitions
from tierbroker.replication.tiering import ColdPart, led_logs, tiered_partitions

if TYPE_CHECKING:
    from tierbroker.controller.driver import MetadataDriver
    from tierbroker.groups.coordinator import GroupCoordinator

logger = logging.getLogger(__name__)

SPOOL_FILE = "checkpoint.spool"
"""Only for a moment, in the first log directory."""
RETRY_S = 5.0
"""Until the next attempt to reach a store that did not answer at the start; doubled each time."""
LONGEST_RETRY_S = 30.0
START_WAIT_S = 5.0
"""So long the broker's start waits for a store that takes a request and does not answer."""
STOP_WAIT_S = 3.0
"""So long the broker's end waits for a store that takes a request and does not answer."""
STOP_PARTS_S = 2.0
"""So long of it for uploads in parts, so that they leave none where the store answers."""
CHECKPOINT_SHARE = 0.2
"""Of the time goes into checkpoints that are large, or should: the pause between two grows up to
CHECKPOINT_PAUSES intervals, so that a store that was slow once is soon up to date again."""
CHECKPOINT_PAUSES = 4


class Tiering:
    """One broker's work with one store. Loop thread only; `start`, then `tick` once a second."""

    def __init__(
        self,
        url: str,
        values: ConfigValues,
        *,
        cluster_id: str,
        restore: str,
        driver: "MetadataDriver",
        groups: "GroupCoordinator",
        partitions: Partitions,
        fs: FileSystem,
        clock: Clock,
        rng: random.Random,
        scheduler: Scheduler,
        post: Callable[[Callable[[], None]], object],
        on_failure: Callable[[BaseException, str], None],
    ) -> None:
        """Raises InvalidConfigError. `post` brings calls of other threads to the loop, `restore` is
        the command that restores from the store, for people."""
        self.refusal: str | None = None
        """Why nothing is done: the store is not, or not any more, this cluster's; or its head is
        gone, and may come back."""
        self._starting = True
        """The start waits to hear whose store it is."""
        self._waits_for_a_topic = False
        """No topic is tiered yet: the store was looked at, and nothing was written there."""
        self._url = url
        self._values = values
        self._cluster_id, self._restore = cluster_id, restore
        self._partitions = partitions
        self._clock = clock
        self._rng = rng
        self._scheduler = scheduler
        self._fs = fs
        self._executor = ThreadExecutor(values.integer("cold.threads"), post)
        opened = open_store(url, values, StorePorts(self._executor, fs, clock, scheduler))
        self.store = WatchedStore(opened, clock)
        self.ledger = TierDecisions(driver, clock)
        self._cluster = ClusterSnapshots(
            driver, groups, partitions, clock, scheduler, self._new_spool
        )
        self._stories = Stories(on_failure)
        self.uploader = self._make_uploader()
        self.reader = self._make_reader()
        self.spiller = Spiller(
            self.store,
            self.ledger,
            _Led(partitions),
            self._stories,
            cluster_id=cluster_id,
            clock=clock,
        )
        self.remover = Remover(
            self.store,
            self.ledger,
            cluster_id=cluster_id,
            grace_ms=values.integer("tier.delete.grace.ms"),
            clock=clock,
        )
        self.overdue = OverdueData(clock, self._why_not_here)
        self.retention = TierRetention(self.ledger, partitions, clock, self.overdue)
        self._catching_up = CatchingUp(self.ledger, self.reader, self._stories, scheduler)
        self.unfinished = self._make_unfinished_remover(opened)
        self.checkpointer: Checkpointer | None = None
        """None until the store has answered and is known to be the right one."""
        self._checkpoint_every_s = values.integer("tier.checkpoint.interval.ms") / 1000
        self._next_checkpoint = 0.0
        self._checkpointing = False
        self._left: list[str] = []
        """What was under way at the stop."""

    def _make_unfinished_remover(self, opened: ObjectStore) -> UnfinishedRemover:
        upload_ms = self._values.integer("tier.upload.timeout.ms")
        return UnfinishedRemover(
            opened,
            self.ledger,
            self._stories,
            cluster_id=self._cluster_id,
            older_than_ms=max(self._values.integer("cold.unfinished.max.age.ms"), 2 * upload_ms),
            clock=self._clock,
        )

    def _new_spool(self) -> Spool:
        """For a large checkpoint; it leaves more of the disk free than what refuses produce."""
        directory = (self._values.texts("log.dirs") or self._values.texts("log.dir"))[0]
        kept_bytes = 2 * self._values.integer("log.disk.reserve.bytes")
        return Spool(self._fs, self._executor, f"{directory}/{SPOOL_FILE}", kept_bytes)

    def _store_with_room(self) -> ObjectWriter:
        """The store; one in a directory leaves some of its disk to the logs."""
        url = split_url(self._url)
        if url.scheme != "file":
            return self.store
        kept_bytes = self._values.integer("log.disk.reserve.bytes") // 2
        return RoomKeeper(
            self.store, self._executor, partial(self._fs.free_bytes, url.place), kept_bytes
        )

    def _make_uploader(self) -> Uploader:
        return Uploader(
            self._store_with_room(),
            self.ledger,
            _Led(self._partitions),
            self._stories,
            cluster_id=self._cluster_id,
            about={"cluster_id": self._cluster_id, "made_by": f"tierbroker {__version__}"},
            rate=ByteRate(
                self._clock,
                self._scheduler,
                self._values.integer("remote.log.manager.copy.max.bytes.per.second"),
            ),
            clock=self._clock,
            scheduler=self._scheduler,
            limits=UploadLimits(
                concurrency=self._values.integer("tier.upload.concurrency"),
                deadline_s=self._values.integer("tier.upload.timeout.ms") / 1000,
            ),
        )

    def _make_reader(self) -> TierReader:
        limit = self._values.integer("remote.log.manager.fetch.max.bytes.per.second")
        rate = ByteRate(self._clock, self._scheduler, limit)
        return TierReader(
            self.store if limit == UNLIMITED else RatedReads(self.store, rate),
            self.ledger,
            self._stories,
            self._scheduler,
            cluster_id=self._cluster_id,
            limits=ReadLimits(
                cache_bytes=self._values.integer("tier.read.cache.bytes"),
                index_cache_bytes=self._values.integer("tier.index.cache.bytes"),
                depth=self._values.integer("tier.read.ahead"),
            ),
            on_arrival=self._on_arrival,
            outage=OutageLog(logger, self._clock, f"cold reads from {self.store.url}"),
        )

    # -- start and end ---------------------------------------------------------------------------

    def start(self) -> Pending[None]:
        """Find out whose store it is. Nothing is written there before the first tiered topic.

        Done once that is known, or the store did not answer the first time or for too long; then
        it goes on trying. `refusal` says so when the store is another cluster's.
        """
        started: Pending[None] = Pending()

        def end(*, waited_in_vain: bool) -> None:
            if not started.done:
                self._starting = False
                if waited_in_vain:
                    logger.warning("the cold tier waits for an answer of %s", self.store.url)
                started.resolve(None)

        timer = self._scheduler.call_later(START_WAIT_S, lambda: end(waited_in_vain=True))
        begun = self._stories.begin(self._begin(), "binding of the store")
        begun.on_done(lambda _: timer.cancel())
        begun.on_done(lambda _: end(waited_in_vain=False))
        return started

    async def _begin(self) -> None:
        try:
            await self._connect()
        except StoreMismatchError as error:
            if self._starting:
                self.refusal = str(error)
            else:
                self._refuse(error)
        except (StoreError, ApiError) as error:
            logger.warning("the cold tier waits for its store: %s", error)
            self._stories.begin(self._go_on_connecting(RETRY_S), "binding of the store")

    async def _go_on_connecting(self, pause_s: float) -> None:
        """Until it is known whose store it is; the first attempt after `pause_s`."""
        while self.checkpointer is None and not self._waits_for_a_topic:
            await until(sleep(self._scheduler, pause_s))
            pause_s = min(max(2 * pause_s, RETRY_S), LONGEST_RETRY_S)
            try:
                await self._connect()
            except StoreMismatchError as error:
                self._refuse(error)
                return
            except (StoreError, ApiError) as error:
                logger.debug("the cold tier still waits for its store: %s", error)
        logger.info("the cold tier has its store, %s", self.store.url)

    async def _connect(self) -> None:
        """Look whose store it is, and make it this cluster's if there is something to keep."""
        if self.ledger.state.store_id is None and not self._leads_tiered_logs():
            await look(self.store, self._cluster_id, self._restore)
            self._waits_for_a_topic = True
        else:
            await self._bind()

    def _leads_tiered_logs(self) -> bool:
        return next(led_logs(self._partitions), None) is not None

    async def _bind(self) -> None:
        state, cluster_id = self.ledger.state, self._cluster_id
        head, etag = await bind(self.store, state, cluster_id, self._rng, self._restore)
        if self.ledger.state.incarnations[-1:] != (head.incarnation,):
            await until(self.ledger.bind_store(head.store_id, head.incarnation))
        self.checkpointer = Checkpointer(
            self.store, self.ledger, self._cluster, head, etag, self._clock
        )

    def _refuse(self, error: StoreMismatchError) -> None:
        """Nothing is uploaded, deleted or let go any more; what is cold stays readable."""
        self._halt(error)
        self.checkpointer = None
        logger.error("the cold tier is given up: %s", error)

    def _halt(self, error: StoreMismatchError) -> None:
        self.refusal = str(error)
        self.retention.keeps_all = True
        self.uploader.stop()
        self.spiller.stop()

    async def _wait_for_head(self, checkpointer: Checkpointer, error: HeadMissingError) -> None:
        """Halt until the head is back as it was, and names a checkpoint of now."""
        self._halt(error)
        logger.error("the cold tier waits: %s", error)
        while True:
            await until(sleep(self._scheduler, LONGEST_RETRY_S))
            try:
                await checkpointer.find_head()
                await checkpointer.take()
            except HeadMissingError:
                continue
            except StoreMismatchError as other:
                self._refuse(other)
                return
            except StoreError as failure:
                logger.debug("the cold tier still waits: %s", failure)
                continue
            if checkpointer.failure is None:
                break
        self.refusal = None
        self.retention.keeps_all = False
        self.uploader.resume()
        self.spiller.resume()
        logger.warning("the cold tier goes on: its head is back in %s", self.store.url)

    def stop(self) -> None:
        """Leave what is under way where it is: the next start goes on from the metadata."""
        uploads = self.uploader.under_way
        self._left = [f"{uploads} uploads"] if uploads else []
        self._left += ["a checkpoint"] if self._checkpointing else []
        self.uploader.stop()
        self._stories.stop()

    async def close(self) -> None:
        """Give up threads and connections, after `stop`; takes no longer than STOP_WAIT_S.

        Nothing is lost by what is given up: no upload counts before its commit, and the next start
        looks what is missing. The loop goes on meanwhile.
        """
        deadline = self._clock.monotonic() + STOP_WAIT_S
        try:
            if isinstance(self.store.inner, UploadsInParts):
                with suppress(TimeoutError):  # what remains is found by its age
                    async with asyncio.timeout(STOP_PARTS_S):
                        await self.store.inner.parts_settled()
        finally:
            self.store.close()
        left_s = max(deadline - self._clock.monotonic(), STOP_WAIT_S - STOP_PARTS_S)
        unanswered = await asyncio.to_thread(self._executor.close, left_s)
        left = " and ".join(self._left) or "what was asked of it"
        if unanswered:
            logger.warning(
                "%s has not answered %d requests within %g s. Given up, for the next start "
                "to do: %s",
                self.store.url,
                unanswered,
                STOP_WAIT_S,
                left,
            )
        elif self._left:
            logger.info("%s: given up, for the next start to do: %s", self.store.url, left)

    # -- by the clock ----------------------------------------------------------------------------

    def tick(self) -> None:
        """Look what is to be done; due about once a second."""
        if self._waits_for_a_topic and self._leads_tiered_logs():
            self._waits_for_a_topic = False
            self._stories.begin(self._go_on_connecting(0.0), "binding of the store")
        if self.checkpointer is None or self.refusal is not None:
            return
        now_ms = self._clock.now_ms()
        for _, log in led_logs(self._partitions):
            try:
                log_tiering.roll_if_quiet(log, now_ms)
            except KafkaStorageError as error:
                logger.warning("%s was not rolled: %s", log.topic_partition, error)
        self.retention.drop_unwanted()
        self.uploader.tick()
        self.spiller.tick()
        self.unfinished.tick()
        if not self._checkpointing and self._clock.monotonic() >= self._next_checkpoint:
            self._checkpointing = True
            self._stories.begin(self._checkpoint(self.checkpointer), "checkpoint")

    def hurry_checkpoint(self) -> None:
        """Take one now, unless one is under way."""
        self._next_checkpoint = 0.0
        self.tick()

    async def _checkpoint(self, checkpointer: Checkpointer) -> None:
        """A checkpoint where there is news, then the garbage that no checkpoint names."""
        begun, pause_s = self._clock.monotonic(), self._checkpoint_every_s
        try:
            await checkpointer.take()
            if checkpointer.failure is None:
                took_s = self._clock.monotonic() - begun
                rest_s = took_s * (1 / CHECKPOINT_SHARE - 1)
                pause_s = min(max(pause_s, rest_s), CHECKPOINT_PAUSES * pause_s)
            if checkpointer.durable_offset >= 0:
                await self.remover.remove(checkpointer.durable_offset)
        except HeadMissingError as error:
            self._stories.begin(self._wait_for_head(checkpointer, error), "return of the head")
        except StoreMismatchError as error:
            self._refuse(error)
        finally:
            self._checkpointing = False
            self._next_checkpoint = self._clock.monotonic() + pause_s

    def _why_not_here(self, place: TopicPartition) -> str:
        """What keeps a partition's next segment from the tier."""
        trouble = self.uploader.troubles.get(place)
        if self.refusal is not None:
            return self.refusal
        if self.checkpointer is None:
            return "the store has not answered since the start"
        if trouble is not None:
            return trouble.reason
        return self.checkpointer.failure or "it is behind others, or waits for a transaction"

    # -- by request ------------------------------------------------------------------------------

    def offload(self, topic: str, *, evict: bool = False) -> Pending[int]:
        """Close what a topic's partitions have and bring it to the store; how many partitions.

        Done when a durable checkpoint names everything that is there now; with `evict` it has left
        this disk by then. Waits as long as the store and open transactions take: cancel it to wait
        no more. Fails with UnknownTopicOrPartitionError for a topic that is not tiered or not here.
        """
        return tell(
            offload(
                topic,
                self.ledger,
                self._partitions,
                self.hurry_checkpoint,
                lambda: self.refusal,
                self.uploader.wanted,
                self._scheduler,
                evict=evict,
            )
        )

    # -- what partitions ask (replication.tiering.ColdTier) --------------------------------------

    def part_of(self, place: TopicPartition, topic_id: Uuid) -> ColdPart:
        """The older part of a partition."""
        return ColdPart(self, place, topic_id)

    def tier_of(self, topic_id: Uuid, partition: int) -> PartitionTier | None:
        """What the tier holds of a partition, by the committed metadata."""
        return self.ledger.state.partition(topic_id, partition)

    def read(
        self, tier: PartitionTier, place: TopicPartition, offset: int, max_bytes: int
    ) -> ColdRead | None:
        """See `TierReader.read`."""
        return self.reader.read(tier, place, offset, max_bytes)

    def offset_for_timestamp(
        self, tier: PartitionTier, place: TopicPartition, timestamp_ms: int, start_offset: int
    ) -> Pending[ColdOffset | None]:
        """See `TierReader.offset_for_timestamp`."""
        return self.reader.offset_for_timestamp(tier, place, timestamp_ms, start_offset)

    def retire(
        self, topic_id: Uuid, partition: int, leader_epoch: int, log_start_offset: int
    ) -> Pending[None]:
        """The log starts there from now on."""
        return self.ledger.retire(topic_id, partition, leader_epoch, log_start_offset)

    def settings_changed(self, partition: Partition) -> None:
        """See ColdTier. Under the conditions of `tick`, which sees to what was left out here."""
        if self.checkpointer is not None and self.refusal is None:
            self.retention.drop_if_unwanted(partition)

    def is_ahead(self, topic_id: Uuid, partition: int, log: Log) -> bool:
        """Whether the tier knows better than the local log where that goes on (D-8)."""
        return must_catch_up(self.ledger.state.partition(topic_id, partition), log)

    def catch_up(self, partition: Partition, log: Log) -> None:
        """Let the log go on behind the tier's end, then give it to the partition."""
        self._catching_up.begin(partition, log)

    def _on_arrival(self, place: TopicPartition) -> None:
        partition = self._partitions.find(place)
        if partition is not None:
            partition.wake_waiters()


class _Led:
    """`cold.ports.LocalLogs` over the partitions of the broker."""

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions

    def __iter__(self) -> Iterator[LocalPartition]:
        # A copy: whoever iterates may take several turns.
        return tiered_partitions(list(self._partitions))
