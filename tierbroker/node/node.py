"""One broker of one process: made from settings, started and stopped in order.

The composition root. Everything that varies (clock, chance, threads, file system) is made here
and handed down; nothing below knows where it came from.
"""

import asyncio
import logging
import random
from functools import partial
from typing import TYPE_CHECKING

from tierbroker.base.clock import Clock, SystemClock
from tierbroker.base.deadlines import Deadlines
from tierbroker.base.errors import InvalidRequestError, KafkaStorageError
from tierbroker.base.executor import ThreadExecutor
from tierbroker.base.fs import FileSystem, OsFileSystem
from tierbroker.base.pending import Pending
from tierbroker.base.tasks import TaskSupervisor
from tierbroker.broker.dispatch import Dispatcher
from tierbroker.broker.fetch_sessions import FetchSessionCache
from tierbroker.broker.producer_ids import ProducerIds
from tierbroker.broker.registry import SPECS
from tierbroker.broker.services import BrokerServices
from tierbroker.broker.topic_settings import check_topic_settings, settings_of_new_topic
from tierbroker.broker.txn_gate import TransactionGate
from tierbroker.broker.txn_markers import PartitionMarkers
from tierbroker.controller.state.changes import Changes
from tierbroker.controller.state.environment import Environment
from tierbroker.controller.state.features import transaction_version
from tierbroker.controller.state.image import MetadataImage
from tierbroker.controller.state.partitions import assign_directories
from tierbroker.controller.state.topics import OFFSETS_TOPIC, TRANSACTION_STATE_TOPIC
from tierbroker.hot.config_origin import TopicConfigs
from tierbroker.hot.log_dir import LogDir
from tierbroker.node.addresses import advertised_address
from tierbroker.node.chores import make_upkeep
from tierbroker.node.cleaning import Cleaning
from tierbroker.node.follower import MetadataFollower
from tierbroker.node.groups import GroupsOfTheBroker, forget_deleted_topics, make_coordinator
from tierbroker.node.health import Health, Phase
from tierbroker.node.http_endpoint import HttpEndpoint
from tierbroker.node.internal_topics import InternalTopicFollower
from tierbroker.node.loading import Progress, load_rest
from tierbroker.node.metadata import (
    allocate_block,
    broker_registration,
    open_metadata,
    start_metadata,
)
from tierbroker.node.pages import Pages
from tierbroker.node.parts import NodeParts
from tierbroker.node.settings import SCHEMA, Settings
from tierbroker.node.storage import Storage, find_logs, open_storage
from tierbroker.node.tier_opening import open_tier
from tierbroker.node.transactions import make_transactions
from tierbroker.replication.partition import Appender
from tierbroker.replication.partitions import Partitions
from tierbroker.server.config import parse_listeners, server_limits
from tierbroker.server.server import Server
from tierbroker.wire.api_keys import ApiKey

if TYPE_CHECKING:
    from tierbroker.controller.driver import MetadataDriver
    from tierbroker.groups.coordinator import GroupCoordinator
    from tierbroker.hot.log_startup import LogStartup
    from tierbroker.node.tiering import Tiering
    from tierbroker.server.limits import ListenerConfig
    from tierbroker.transactions.coordinator import TransactionCoordinator

logger = logging.getLogger(__name__)

DRAIN_TIMEOUT_S = 10.0
"""Time that clients have to take their last answers when the node stops."""


class Node:
    """A broker with its share of the metadata quorum. Started once, stopped once."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock | None = None,
        fs: FileSystem | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.settings = settings
        self.ready_ms = 0
        self.on_progress: Progress = lambda done, total: None
        self._clock = clock or SystemClock()
        self._durable = settings.values["flush.mode"] != "none"
        self._fs = fs or OsFileSystem(durable=self._durable)
        self._rng = rng or random.SystemRandom()
        self._supervisor = TaskSupervisor(self._on_failure)
        self._stopped = asyncio.Event()
        self._listeners: list[ListenerConfig] = parse_listeners(settings.values)
        self._executor: ThreadExecutor
        self._health = Health()
        self._http: HttpEndpoint
        self._pages: Pages
        self._storage: Storage
        self._controller: MetadataDriver
        self._startup: LogStartup
        self._partitions: Partitions
        self._deadlines: Deadlines
        self._cleaning: Cleaning
        self._groups: GroupCoordinator
        self._producer_ids: ProducerIds
        self._markers: PartitionMarkers
        self._transactions: TransactionCoordinator
        self._internal_topics: tuple[InternalTopicFollower, ...]
        self._tiering: Tiering | None = None
        self._server: Server
        self._broker_epoch = -1
        self._started_at = 0.0
        self._ports: dict[str, int] = {}

    @property
    def failure(self) -> BaseException | None:
        """What ended the node before it was told to stop."""
        return self._supervisor.failure

    @property
    def bootstrap(self) -> str:
        """ "host:port" of the first listener, as clients should say it."""
        host, port = advertised_address(self._listeners[0], self._ports)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def http_url(self) -> str | None:
        """Where this machine finds health and metrics; None when http.listener is empty."""
        return self._http.url

    @property
    def data_dirs(self) -> list[str]:
        """The log directories."""
        return [log_dir.path for log_dir in self._storage.dirs]

    @property
    def flush_mode(self) -> str:
        """What an acks=all reply promises by default: fsync, replicated or none."""
        return str(self.settings.values["flush.mode"])

    @property
    def metadata(self) -> MetadataImage:
        """The newest committed metadata."""
        return self._controller.image

    @property
    def tiering(self) -> "Tiering | None":
        """The cold tier, None without one."""
        return self._tiering

    def offload(self, topic: str, *, evict: bool = False) -> Pending[int]:
        """See `Tiering.offload`; fails with InvalidRequestError on a broker without a cold tier."""
        if self._tiering is None:
            refused: Pending[int] = Pending()
            refused.fail(InvalidRequestError("this broker has no cold tier: set cold.url"))
            return refused
        return self._tiering.offload(topic, evict=evict)

    async def start(self) -> None:
        """Bring everything up; returns once every partition is served.

        Clients can connect before, when there are many logs to open: `on_progress` tells.
        Raises DataDirError, ListenError, InvalidConfigError; nothing is left running then.
        """
        self._started_at = self._clock.monotonic()
        loop = asyncio.get_running_loop()
        threads = self.settings.values.integer("background.threads")
        self._executor = ThreadExecutor(threads, loop.call_soon_threadsafe)
        try:
            self._storage = open_storage(
                self.settings.values,
                self._fs,
                self._executor,
                self._clock,
                self._rng,
                loop,
                self._on_dir_offline,
            )
        except BaseException:
            self._executor.close()
            raise
        try:
            await self._start_broker(loop)
            await load_rest(
                self._startup, self._partitions, self._executor, self._clock, self._progressed
            )
        except BaseException:
            await self._abort_start()
            raise
        self._health.phase = Phase.SERVING
        self.ready_ms = int((self._clock.monotonic() - self._started_at) * 1000)

    def hurry_start(self) -> None:
        """The node is to stop: a start that still opens logs leaves the rest of them alone."""
        if hasattr(self, "_startup"):
            self._startup.abandon()

    async def wait_stopped(self) -> None:
        """Wait until the node fails or is stopped."""
        await self._stopped.wait()

    async def stop(self) -> None:
        """Finish what is in flight, make it durable, leave the clean-shutdown note."""
        self._health.phase = Phase.STOPPING
        self._pages.close()
        self._server.begin_drain()
        self._groups.stop()
        self._transactions.stop()
        self._deadlines.expire_all()
        if not await self._server.wait_drained(DRAIN_TIMEOUT_S):
            logger.warning("some clients did not take their answers in %g s", DRAIN_TIMEOUT_S)
        self._server.stop()
        await self._close(clean=self.failure is None)
        self._stopped.set()

    def on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """An exception handler for a loop that belongs to this node alone."""
        error = context.get("exception")
        if isinstance(error, BaseException):
            self._supervisor.fail(error, str(context.get("message")))
        else:
            loop.default_exception_handler(context)

    # -- start ---------------------------------------------------------------------------------

    async def _start_broker(self, loop: asyncio.AbstractEventLoop) -> None:
        settings, storage = self.settings, self._storage
        values = settings.values
        self._health.log_dirs = storage.dirs
        self._http = self._open_http(loop)
        topic_configs = TopicConfigs(settings.layers)
        self._controller = open_metadata(
            settings, storage, self._executor, self._clock, self._rng, self._on_failed_metadata
        )
        image = await start_metadata(self._controller, storage.dirs)
        self._partitions = Partitions(
            self._node_id, storage.logs, topic_configs, Appender(loop), storage.flusher
        )
        self._startup = find_logs(storage.logs, image, topic_configs, self._node_id, self._clock)
        self._deadlines = Deadlines(loop, self._clock)
        self._make_coordinators(image, loop)
        services = self._services(topic_configs)
        dispatcher = Dispatcher(SPECS, services, self._supervisor)
        dispatcher.preload((ApiKey.API_VERSIONS, ApiKey.METADATA, ApiKey.PRODUCE, ApiKey.FETCH))
        self._server = Server(
            loop,
            self._listeners,
            dispatcher,
            server_limits(values),
            self._executor,
            self._clock,
            lambda error: self._supervisor.fail(error, "the server"),
        )
        self._ports = self._server.bind()
        self._tiering = await self._open_tier(loop)
        self._partitions.cold_tier = self._tiering
        previous_epoch = self._startup.report.previous_broker_epoch
        registration = broker_registration(
            settings, storage.dirs, self._listeners, self._ports, previous_epoch, self._rng
        )
        self._broker_epoch = await self._controller.submit(registration)
        self._partitions.load(self._controller.image)
        for follower in self._internal_topics:
            follower.load(self._controller.image)
        self._controller.subscribe(
            MetadataFollower(
                self._partitions,
                self._followed,
                lambda work: self._supervisor.start(work, name="follow the metadata"),
                self._clock,
            )
        )
        self._report_directories()
        self._cleaning = Cleaning(
            values,
            storage.logs,
            self._partitions,
            storage.flusher,
            self._executor,
            self._clock,
            loop,
        )
        parts = self._bind_parts(loop, services, dispatcher)
        self._supervisor.start(make_upkeep(parts, values).run(), name="upkeep")
        self._pages = Pages(self._http, parts)
        self._server.start()

    def _open_http(self, loop: asyncio.AbstractEventLoop) -> HttpEndpoint:
        return HttpEndpoint(
            self.settings,
            self._listeners,
            self._health,
            loop=loop,
            executor=self._executor,
            clock=self._clock,
        )

    def _make_coordinators(self, image: MetadataImage, loop: asyncio.AbstractEventLoop) -> None:
        self._groups = make_coordinator(
            self.settings.values, image, self._partitions, self._clock, self._rng, loop
        )
        self._producer_ids = ProducerIds(self._request_producer_ids)
        self._markers = PartitionMarkers(self._partitions, self._groups, self._clock)
        self._transactions = make_transactions(
            self.settings.values,
            image,
            self._partitions,
            self._producer_ids,
            self._markers,
            self._clock,
            loop,
            lambda: transaction_version(self._controller.image),
        )
        self._health.loads = self._what_loads
        self._internal_topics = (
            InternalTopicFollower(OFFSETS_TOPIC, GroupsOfTheBroker(self._groups), self._partitions),
            InternalTopicFollower(TRANSACTION_STATE_TOPIC, self._transactions, self._partitions),
        )

    async def _open_tier(self, loop: asyncio.AbstractEventLoop) -> "Tiering | None":
        return await open_tier(
            self.settings,
            cluster_id=self._storage.dirs.cluster_id,
            driver=self._controller,
            groups=self._groups,
            partitions=self._partitions,
            fs=self._fs,
            clock=self._clock,
            rng=self._rng,
            loop=loop,
            on_failure=self._supervisor.fail,
        )

    def _bind_parts(
        self, loop: asyncio.AbstractEventLoop, services: BrokerServices, dispatcher: Dispatcher
    ) -> NodeParts:
        return NodeParts(
            node_id=self._node_id,
            started_at=self._started_at,
            health=self._health,
            clock=self._clock,
            scheduler=loop,
            executor=self._executor,
            storage=self._storage,
            controller=self._controller,
            partitions=self._partitions,
            server=self._server,
            dispatcher=dispatcher,
            fetch_sessions=services.fetch_sessions,
            groups=self._groups,
            transactions=self._transactions,
            cleaning=self._cleaning,
            tiering=self._tiering,
        )

    @property
    def _node_id(self) -> int:
        return self.settings.values.integer("node.id")

    def _services(self, topic_configs: TopicConfigs) -> BrokerServices:
        values = self.settings.values
        return BrokerServices(
            broker_id=self._node_id,
            cluster_id=self._storage.dirs.cluster_id,
            controller=self._controller,
            partitions=self._partitions,
            log_dirs=self._storage.dirs,
            deadlines=self._deadlines,
            groups=self._groups,
            fetch_sessions=FetchSessionCache(
                self._clock,
                self._rng,
                values.integer("max.incremental.fetch.session.cache.slots"),
            ),
            producer_ids=self._producer_ids,
            transactions=self._transactions,
            txn_gate=TransactionGate(self._transactions, self._deadlines, self._clock),
            txn_markers=self._markers,
            schema=SCHEMA,
            layers=(self._http.layer, *self.settings.layers),
            values=values,
            topic_configs=topic_configs,
            clock=self._clock,
            scheduler=asyncio.get_running_loop(),
            fetch_max_bytes=values.integer("fetch.max.bytes"),
            environment=Environment(
                schema=SCHEMA,
                rng=self._rng,
                check_topic=partial(
                    check_topic_settings, topic_configs, tiered=bool(values.text("cold.url"))
                ),
                complete_topic=partial(
                    settings_of_new_topic,
                    topic_configs,
                    tiered=values.flag("log.remote.storage.enable"),
                ),
                default_partitions=values.integer("num.partitions"),
                default_replication_factor=values.integer("default.replication.factor"),
            ),
        )

    def _request_producer_ids(self) -> Pending[range]:
        return allocate_block(self._controller, self._node_id, self._broker_epoch)

    def _followed(self, changes: Changes, image: MetadataImage) -> None:
        for follower in self._internal_topics:
            follower.apply(changes, image)
        forget_deleted_topics(self._groups, changes)
        # Later: the driver is in the middle of telling everybody about this change.
        asyncio.get_running_loop().call_soon(self._report_directories)

    def _report_directories(self) -> None:
        """Tell the controller which of several log directories a new replica went to."""
        placed = self._partitions.take_unreported()
        if placed:
            self._controller.submit(
                lambda image: assign_directories(image, self._node_id, placed)
            ).on_done(_warn_if_not_reported)

    def _what_loads(self) -> str | None:
        if self._groups.loaded and self._transactions.loaded:
            return None
        return "groups and transactions are read from their topics"

    def _progressed(self, done: int, total: int) -> None:
        self._health.note_progress(done, total)
        self.on_progress(done, total)

    # -- failures and end ----------------------------------------------------------------------

    def _on_failure(self, error: BaseException) -> None:
        self._stopped.set()

    def _on_failed_metadata(self, error: BaseException) -> None:
        self._supervisor.fail(error, "the metadata log")

    def _on_dir_offline(self, log_dir: LogDir, error: OSError) -> None:
        """A disk failed: its partitions answer with errors, the others go on."""
        self._storage.flusher.fail(log_dir.path, error)
        for partition in self._partitions:
            if partition.log is not None and partition.log.offline:
                partition.fail_waiting(KafkaStorageError(f"{log_dir.path} is offline: {error}"))
        if not self._storage.dirs.online:
            self._supervisor.fail(error, "the last log directory")

    async def _abort_start(self) -> None:
        """Undo a start that failed half-way; what is on disk stays as after a crash."""
        if hasattr(self, "_server"):
            self._server.stop()
        await self._close(clean=False)

    async def _close(self, *, clean: bool) -> None:
        """Make everything durable, then give up files and locks."""
        await self._supervisor.stop()
        if self._tiering is not None:
            self._tiering.stop()
        if hasattr(self, "_cleaning"):
            self._cleaning.stop()
        storage = self._storage
        while not storage.flusher.idle:
            await self._executor_round()
        if hasattr(self, "_controller"):
            try:
                await self._controller.stop()
            except KafkaStorageError as error:
                # Its directory is offline by that and gets no clean-shutdown note.
                logger.error("The metadata log was not closed in order: %s", error)
        if hasattr(self, "_http"):
            self._http.close()
        await self._executor_round()
        try:
            if self._tiering is not None:
                await self._tiering.close()
        finally:
            self._executor.close()
            storage.logs.shutdown(clean=clean, broker_epoch=self._broker_epoch)
            storage.close()

    async def _executor_round(self) -> None:
        """Wait until the workers have done what is queued now."""
        done: Pending[None] = Pending()
        self._executor.run(lambda: None, lambda _: done.resolve(None))
        await done


def _warn_if_not_reported(reported: Pending[None]) -> None:
    """The metadata then names no directory, or the old one, until the next start reports it."""
    if reported.error is not None:
        logger.warning("the placement of new replicas was not recorded: %s", reported.error)
