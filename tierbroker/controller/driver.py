"""The metadata log at work: decisions in, committed images out.

The driver owns the Raft core of this node. It carries out the core's effects on the storage and
the transport, keeps the committed image, and runs deciders one at a time against a speculative
image that already contains what is proposed but not committed, so that several decisions can be
under way in one flush. It is told of time by `tick`, and runs on the loop thread alone; it never
decides anything about the cluster itself.
"""

import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from tierbroker.base.clock import Clock
from tierbroker.base.errors import (
    ApiError,
    KafkaStorageError,
    NotControllerError,
    PolicyViolationError,
)
from tierbroker.base.executor import Executor, Outcome
from tierbroker.base.pending import Pending, when_all_done
from tierbroker.controller import loader
from tierbroker.controller.config import ControllerConfig
from tierbroker.controller.errors import MetadataCorruptError
from tierbroker.controller.raft.batches import encode_entry, open_batches
from tierbroker.controller.raft.core import RaftCore, Ready
from tierbroker.controller.raft.log_view import LOG_BEGIN, LogView
from tierbroker.controller.raft.messages import Envelope, FetchResponse
from tierbroker.controller.raft.ports import RaftStorage, Transport
from tierbroker.controller.raft.roles import Leader
from tierbroker.controller.raft.types import ReplicaKey, VoterSet
from tierbroker.controller.records.abort_transaction_record import AbortTransactionRecord
from tierbroker.controller.snapshot_keeper import SnapshotKeeper
from tierbroker.controller.state.changes import Changes
from tierbroker.controller.state.codec import decode_record, encode_records
from tierbroker.controller.state.delta import MetadataDelta
from tierbroker.controller.state.image import MetadataImage
from tierbroker.controller.state.replay import Replayer
from tierbroker.controller.state.result import MetadataRecord, Result

T = TypeVar("T")

Listener = Callable[[Changes, MetadataImage], Pending[None] | None]


@dataclass(slots=True)
class _InFlight:
    """A decision that is written but not committed."""

    last_offset: int
    image: MetadataImage
    changes: Changes
    timestamp_ms: int
    pending: Pending[Any] | None
    response: object


class MetadataDriver:
    """Runs one replica of the metadata log. `start`, then `submit`, in the end `stop`."""

    def __init__(
        self,
        *,
        local: ReplicaKey,
        default_voters: VoterSet,
        storage: RaftStorage,
        transport: Transport,
        executor: Executor,
        clock: Clock,
        rng: random.Random,
        bootstrap: Iterable[MetadataRecord],
        config: ControllerConfig | None = None,
        on_failure: Callable[[BaseException], None] | None = None,
    ) -> None:
        """`default_voters` holds where neither log nor snapshot names voters.

        `bootstrap` is what the first leader writes to an empty log; it sets metadata.version.
        `on_failure` is told when the storage fails for good.
        """
        self.image = MetadataImage()
        self._local = local
        self._default_voters = default_voters
        self._storage = storage
        self._transport = transport
        self._clock = clock
        self._rng = rng
        self._bootstrap = tuple(bootstrap)
        self._config = config or ControllerConfig()
        self._on_failure = on_failure
        self._core: RaftCore | None = None
        self._replayer = Replayer(self.image)
        self._applied_offset = 0
        self._speculative: MetadataImage | None = None  # None: not the active controller
        self._in_flight: deque[_InFlight] = deque()
        self._listeners: list[Listener] = []
        self._started: Pending[MetadataImage] = Pending()
        self._stopped: Pending[None] | None = None
        self._failure: ApiError | None = None
        self._pumping = False
        self._flushing = False
        self._flush_generation = 0
        self._last_timestamp_ms = 0
        self.snapshots = SnapshotKeeper(
            storage, executor, clock, self._config, idle_again=self._maybe_stop
        )

    # what others may know

    @property
    def core(self) -> RaftCore:
        """The Raft core, to be read only (DescribeQuorum, metrics)."""
        assert self._core is not None, "the driver is started first"
        return self._core

    @property
    def active(self) -> bool:
        """This node decides: it leads, and has applied all that earlier leaders wrote."""
        return self._speculative is not None

    @property
    def deadline_ms(self) -> int | None:
        """The monotonic time, in milliseconds, at which `tick` is due; None for never."""
        return None if self._core is None else self._core.deadline_ms

    def subscribe(self, listener: Listener) -> None:
        """Call `listener(changes, image)` for every image that is committed from now on.

        In the loop's turn of the commit, before the submitter hears of it; where the listener
        returns a Pending, the submitter hears of it once that is done. Later commits do not wait
        for it. An exception of a listener ends the driver: the node is no longer what its metadata
        says.
        """
        self._listeners.append(listener)

    # inputs

    def start(self) -> Pending[MetadataImage]:
        """Load the last snapshot, join the quorum; resolves when this node is active.

        A quorum of one elects itself at once. Raises MetadataCorruptError and OSError.
        """
        storage = self._storage
        loaded = loader.load_snapshot(storage)
        covered = loaded.snapshot or LOG_BEGIN
        survey = loader.survey_log(storage, covered.offset)
        self._core = RaftCore(
            local=self._local,
            voter_set=survey.voters or loaded.voters or self._default_voters,
            voters_logged=survey.voters is not None or covered.offset > 0,
            log=LogView(
                loader.log_start(storage),
                storage.log_end_offset,
                storage.flushed_offset,
                storage.epoch_starts(),
            ),
            quorum_state=storage.load_quorum_state(),
            config=self._config.raft,
            rng=self._rng,
            now_ms=self._now_ms(),
        )
        self.snapshots.note_log(survey.bytes_after, storage.log_end_offset - covered.offset)
        self._core.latest_snapshot = loaded.snapshot
        self.image = loaded.image
        self._replayer = Replayer(self.image)
        self._applied_offset = covered.offset
        self.tick()
        return self._started

    def tick(self) -> None:
        """Time has passed; due at `deadline_ms`, harmless at any other time."""
        if self._core is not None and self._failure is None:
            self._core.tick(self._now_ms())
            self._pump()

    def receive(self, envelope: Envelope) -> None:
        """A message of another voter."""
        if self._core is not None and self._failure is None:
            self._core.step(envelope)
            self._pump()

    def submit(self, decide: Callable[[MetadataImage], Result[T]]) -> Pending[T]:
        """Decide on the newest image and write the records; resolves when they are applied.

        `decide` runs at once, on an image whose offset is the log's last, written or not. Fails
        with the ApiError that it raises, NotControllerError, or KafkaStorageError when the records
        could not be stored.
        """
        pending: Pending[T] = Pending()
        try:
            self._submit(decide, pending)
        except ApiError as error:
            pending.fail(error)
        return pending

    def stop(self) -> Pending[None]:
        """Refuse new decisions, finish those under way, resign and close the storage.

        Fails with KafkaStorageError when the storage cannot be closed in order.
        """
        if self._stopped is None:
            self._stopped = Pending()
            self.snapshots.abandon()
            self._maybe_stop()
        return self._stopped

    # decisions

    def _submit(self, decide: Callable[[MetadataImage], Result[T]], pending: Pending[T]) -> None:
        if self._failure is not None:
            raise self._failure
        base = self._speculative
        if base is None or self._stopped is not None:
            raise NotControllerError(f"Node {self._local.id} is not the active controller")
        result = decide(base)
        if result.records:
            self._propose(base, result, pending)
        elif self._in_flight:
            # A read: what it saw may not be committed yet.
            last = self._in_flight[-1]
            self._in_flight.append(
                _InFlight(last.last_offset, last.image, _NO_CHANGES, 0, pending, result.response)
            )
        else:
            pending.resolve(result.response)

    def _propose(self, base: MetadataImage, result: Result[T], pending: Pending[T] | None) -> None:
        limit = self._config.max_records_per_result
        records = result.records
        if len(records) > limit and result.atomic:
            raise PolicyViolationError(
                f"The request would write {len(records)} metadata records; at most {limit} are"
                " written at once"
            )
        parts = [records[start : start + limit] for start in range(0, len(records), limit)]
        for number, part in enumerate(parts, start=1):
            last = number == len(parts)
            base = self._propose_part(
                base, part, pending if last else None, result.response if last else None
            )
        self._pump()

    def _propose_part(
        self,
        base: MetadataImage,
        records: tuple[MetadataRecord, ...],
        pending: Pending[Any] | None,
        response: object,
    ) -> MetadataImage:
        core = self.core
        # First what can fail: a decider's mistake must not reach the log.
        delta = MetadataDelta(base)
        for record in records:
            delta.replay(record)
        image, changes = delta.finish(base.offset + len(records), core.epoch)
        level = image.features.metadata_version
        last_offset = core.propose(encode_records(records, level))
        assert last_offset == image.offset, f"the image is at {image.offset}, the log {last_offset}"
        self._speculative = image
        self._in_flight.append(
            _InFlight(last_offset, image, changes, self._clock.now_ms(), pending, response)
        )
        return image

    # effects

    def _pump(self) -> None:
        """Carry out what the core wants, until it wants nothing."""
        if self._pumping:
            return  # the loop below sees what was added
        self._pumping = True
        try:
            while self._failure is None and self.core.has_ready():
                self._carry_out(self.core.ready())
        finally:
            self._pumping = False
        self._maybe_stop()

    def _carry_out(self, ready: Ready) -> None:
        try:
            if ready.quorum_state is not None:
                self._storage.save_quorum_state(ready.quorum_state)
            if ready.truncate_to is not None:
                self._flush_generation += 1
                self._storage.truncate_to(ready.truncate_to)
        except (OSError, KafkaStorageError) as error:
            self._fail(error)
            return
        if ready.entries:
            self._append(ready)
            if self._failure is not None:
                return
        for envelope in ready.messages:
            self._transport.send(self._filled(envelope))
        try:
            self._apply(ready.high_watermark)
        except MetadataCorruptError as error:
            self._fail(error)
            return
        if self.active and not self.core.is_leader:
            self._step_down()
        self._maybe_flush()

    def _append(self, ready: Ready) -> None:
        now_ms = self._clock.now_ms()
        batches = [encode_entry(entry, now_ms) for entry in ready.entries]
        try:
            self._storage.append(batches)
        except (OSError, KafkaStorageError) as error:
            self._append_refused(error)
            return
        self.snapshots.note_log(
            sum(len(batch) for batch in batches), sum(entry.count for entry in ready.entries)
        )

    def _append_refused(self, error: OSError | KafkaStorageError) -> None:
        """The disk is full, say: nothing was written, the decisions fail, the log goes on."""
        if not self.active:
            self._fail(error)
            return
        end = self._storage.log_end_offset
        self.core.revoke(end)
        refused = [entry for entry in self._in_flight if entry.last_offset >= end]
        kept = [entry for entry in self._in_flight if entry.last_offset < end]
        self._in_flight = deque(kept)
        base = kept[-1].image if kept else self.image
        self._speculative = base.at(end - 1, self.core.epoch)
        failure = KafkaStorageError(f"The metadata log refused the change: {error}")
        for entry in refused:
            if entry.pending is not None:
                entry.pending.fail(failure)

    def _maybe_flush(self) -> None:
        """One flush at a time: whatever is appended meanwhile shares the next one."""
        if self._flushing or self._storage.flushed_offset >= self._storage.log_end_offset:
            return
        self._flushing = True
        generation = self._flush_generation
        self._storage.flush(lambda outcome: self._flushed(outcome, generation))

    def _flushed(self, outcome: Outcome[int], generation: int) -> None:
        self._flushing = False
        if self._failure is not None:
            return
        if outcome.error is not None:
            self._fail(outcome.error)
            return
        if generation == self._flush_generation:
            self.core.advance(outcome.unwrap())
        # Else the log was truncated meanwhile, and the offset may stand for other entries now.
        self._maybe_flush()
        self._pump()

    def _filled(self, envelope: Envelope) -> Envelope:
        message = envelope.message
        if not isinstance(message, FetchResponse) or message.read_from is None:
            return envelope
        data = self._storage.read(
            message.read_from,
            self._config.raft.max_inflight_bytes,
            self._storage.log_end_offset,
        )
        filled = FetchResponse(message.epoch, message.leader_id, message.high_watermark, data=data)
        return Envelope(envelope.peer, filled, envelope.correlation)

    # commits

    def _apply(self, high_watermark: int) -> None:
        if self.active:
            while self._in_flight and self._in_flight[0].last_offset < high_watermark:
                self._commit(self._in_flight.popleft())
        else:
            self._apply_log(high_watermark)
            self._maybe_activate()
        if self._stopped is None and self._failure is None:
            self.snapshots.maybe_start(self.image, self.core, self._last_timestamp_ms)

    def _commit(self, entry: _InFlight) -> None:
        followed: list[Pending[None]] = []
        if entry.last_offset >= self._applied_offset:
            self._applied_offset = entry.last_offset + 1
            self._last_timestamp_ms = entry.timestamp_ms
            followed = self._publish(entry.changes, entry.image)
        pending, response = entry.pending, entry.response
        if pending is None:
            return
        if followed:
            # Committed it is, whatever else happens; but it is told once it can be used.
            when_all_done(followed, lambda: pending.resolve(response))
        else:
            pending.resolve(response)

    def _apply_log(self, high_watermark: int) -> None:
        """Apply committed entries from the log: at start, and what another leader wrote."""
        while self._applied_offset < high_watermark:
            data = self._storage.read(self._applied_offset, loader.READ_BYTES, high_watermark)
            offset, epoch = self._applied_offset, self.image.epoch
            for batch in open_batches(data, "the metadata log"):
                epoch = batch.header.partition_leader_epoch
                for number, value in enumerate(batch.values, start=batch.header.base_offset):
                    if number >= self._applied_offset:
                        self._replayer.replay(decode_record(value), number, epoch)
                offset = batch.header.next_offset
                self._last_timestamp_ms = batch.header.max_timestamp
            assert offset > self._applied_offset, "a read below the high watermark gives a batch"
            self._applied_offset = offset
            for image, changes in self._replayer.take(offset - 1, epoch):
                self._publish(changes, image)

    def _publish(self, changes: Changes, image: MetadataImage) -> list[Pending[None]]:
        """Tell the listeners; what of their work is not done yet."""
        self.image = image
        told = [listener(changes, image) for listener in self._listeners]
        return [work for work in told if work is not None and not work.done]

    def _maybe_activate(self) -> None:
        """Begin to decide, once all that earlier leaders wrote is committed and applied."""
        role = self.core.role
        if not isinstance(role, Leader) or self._applied_offset <= role.epoch_start_offset:
            return
        base = self.image.at(self.core.log.end_offset - 1, self.core.epoch)
        self._speculative = base
        if self._replayer.in_transaction:
            base = self._abort_transaction(base)
        if base.features.metadata_version == 0:
            pending: Pending[None] = Pending()
            self._propose(base, Result(self._bootstrap, None), pending)
            pending.on_done(self._bootstrapped)
        elif not self._started.done:
            self._started.resolve(self.image)

    def _bootstrapped(self, pending: Pending[None]) -> None:
        if self._started.done:
            return
        if pending.error is None:
            self._started.resolve(self.image)
        elif self._failure is not None:
            self._started.fail(pending.error)

    def _abort_transaction(self, base: MetadataImage) -> MetadataImage:
        """Take back what a leader that is gone began and did not end (KIP-868)."""
        record = AbortTransactionRecord("its leader is gone")
        last_offset = self.core.propose(encode_records([record], base.features.metadata_version))
        image = base.at(last_offset, self.core.epoch)
        self._in_flight.append(
            _InFlight(last_offset, image, _NO_CHANGES, self._clock.now_ms(), None, None)
        )
        self._speculative = image
        return image

    def _step_down(self) -> None:
        """Another node leads: what is not committed may still be, but not by this node's word."""
        self._speculative = None
        self._replayer = Replayer(self.image)
        self._fail_in_flight(NotControllerError(f"Node {self._local.id} stopped being controller"))

    def _fail(self, error: BaseException) -> None:
        """The storage is not to be trusted any more: stop accepting, tell everybody."""
        self._failure = KafkaStorageError(f"The metadata log is offline: {error}")
        self._speculative = None
        self.snapshots.abandon()
        self._fail_in_flight(self._failure)
        if not self._started.done:
            self._started.fail(self._failure)
        if self._on_failure is not None:
            self._on_failure(error)
        self._maybe_stop()

    def _fail_in_flight(self, error: ApiError) -> None:
        failed, self._in_flight = self._in_flight, deque()
        for entry in failed:
            if entry.pending is not None:
                entry.pending.fail(error)

    def _maybe_stop(self) -> None:
        stopped = self._stopped
        busy = self._in_flight or self._flushing or self.snapshots.busy
        if stopped is None or stopped.done or busy:
            return
        if self._core is not None and self._failure is None:
            self._core.resign()
            for envelope in self._core.ready().messages:
                self._transport.send(envelope)
        self._speculative = None
        try:
            self._storage.close()
        except KafkaStorageError as error:
            stopped.fail(error)
        else:
            stopped.resolve(None)

    def _now_ms(self) -> int:
        return int(self._clock.monotonic() * 1000)


_NO_CHANGES = Changes()
