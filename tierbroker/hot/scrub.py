"""Looks for bytes that the disk no longer gives back as they were written.

`sendfile` verifies nothing, so records may rot unseen. The scrub reads all logs, round after
round, at a limited rate, checks every batch's CRC on a worker thread and has damage noted
(`log_damage`). It goes on where it was after a restart, and between two rounds it does nothing but
look at once, whatever the rate, at segments that a reader could not read.
Loop thread only, but for what `_work` returns.
"""

import logging
from collections.abc import Callable
from typing import NamedTuple, Protocol

from tierbroker.base.clock import Clock
from tierbroker.base.errors import CorruptMessageError, KafkaStorageError
from tierbroker.base.executor import Executor, Outcome
from tierbroker.base.fs import FileSystem
from tierbroker.base.ids import TopicPartition
from tierbroker.hot.batch_scan import MAX_OFFSET, BatchScan
from tierbroker.hot.damage import Damage, behind
from tierbroker.hot.file_names import LOG_SUFFIX, parse_offset_file
from tierbroker.hot.log import Log
from tierbroker.hot.log_damage import add_damage
from tierbroker.hot.partition_dirs import parse_partition_dir
from tierbroker.hot.scrub_state import ScrubPlace, ScrubState
from tierbroker.hot.segment import ReadableSegment
from tierbroker.hot.segment_recovery import Bounds, find_damage
from tierbroker.hot.unreadable import ReadingAround

logger = logging.getLogger(__name__)

SLICE_BYTES = 1024 * 1024
MIN_COST_BYTES = 64 * 1024
"""What a slice counts at least: small logs cost turns of the loop rather than reads."""
_LOOKS_A_TURN = 200
"""Logs without anything to check that are passed over in one turn."""


class Logs(Protocol):
    """The logs of the broker, as the scrub needs them."""

    def get(self, topic_partition: TopicPartition) -> Log | None:
        """The open log of the partition."""

    def places(self) -> list[TopicPartition]:
        """The partitions that have an open log."""


class _Slice(NamedTuple):
    """A piece of a segment to check."""

    log: Log
    segment: ReadableSegment
    position: int
    offset: int
    """The offset expected at `position`."""
    end: int
    """Where the segment ends, or its next known region begins."""
    bounds: Bounds


class _Checked(NamedTuple):
    position: int
    next_offset: int
    damage: tuple[tuple[Damage, str], ...] | None
    """None: no fault so far."""


class Scrub:
    """Checks all logs once in every interval. `tick` once a second."""

    def __init__(
        self,
        logs: Logs,
        state: ScrubState,
        executor: Executor,
        clock: Clock,
        *,
        doubted: dict[str, OSError],
        bytes_per_second: int,
        interval_ms: int,
    ) -> None:
        """`doubted` are the files that a reader could not read, by path (`FileCache.doubted`)."""
        self._logs = logs
        self._doubted = doubted
        self._state = state
        self._executor = executor
        self._clock = clock
        self._rate = bytes_per_second
        self._interval_ms = interval_ms
        self._budget = 0.0
        self._refilled = clock.monotonic()
        self._busy = False
        self._order: list[TopicPartition] = []
        self._offset = 0
        self.checked_bytes = 0
        """Since the start of the broker."""

    def tick(self) -> None:
        """Go on as far as the rate allows."""
        if not self._busy:
            self._look_at_doubted()
        if not self._rate or self._busy:
            return
        self._state.settle(self._executor)
        now = self._clock.monotonic()
        most = max(self._rate, SLICE_BYTES)
        self._budget = min(self._budget + (now - self._refilled) * self._rate, most)
        self._refilled = now
        if self._begin_round():
            self._go_on()

    def _look_at_doubted(self) -> None:
        """Judge a segment that a reader could not read, so that the others are served again."""
        while self._doubted and not self._busy:
            path = next(iter(self._doubted))
            del self._doubted[path]
            piece = _whole_segment(self._logs, path)
            if piece is not None:
                self._check(piece, in_turn=False)

    def _begin_round(self) -> bool:
        """Whether a round is under way, begun now if it is time."""
        if self._order:
            return True
        state, now_ms = self._state, self._clock.now_ms()
        place = state.place
        if place is None:
            if now_ms - state.started_ms < self._interval_ms:
                return False
            place = state.begin(now_ms)
        # The last one is in turn.
        self._order = sorted(
            (slot for slot in self._logs.places() if slot >= place.topic_partition), reverse=True
        )
        self._offset = place.offset if place.topic_partition in self._order[-1:] else 0
        if not self._order:
            state.end(self._executor)
        return bool(self._order)

    def _go_on(self) -> None:
        for _ in range(_LOOKS_A_TURN):
            if self._busy or self._budget <= 0 or not self._order:
                return
            piece = self._piece()
            if piece is None:
                self._order.pop()
                self._offset = 0
                if not self._order:
                    self._state.end(self._executor)
                    logger.info("the scrub has checked every log")
            else:
                self._check(piece)

    def _piece(self) -> "_Slice | None":
        """What is to be checked next of the log in turn, None when it is done."""
        log = self._logs.get(self._order[-1])
        if log is None or log.offline or log.closed:
            return None
        offset = max(self._offset, log.log_start_offset)
        try:
            return _slice_at(log, offset)
        except OSError as error:
            logger.error("%s cannot be checked from offset %d on: %s", log.dir, offset, error)
            return None

    def _check(self, piece: _Slice, in_turn: bool = True) -> None:
        """Have the piece read; `in_turn` is what the round has come to."""
        fs = piece.log.fs
        handle = piece.segment.handle
        try:
            fd = handle.acquire()
        except OSError as error:
            self._skip(piece, error, in_turn)
            return
        self._busy = True

        def done(outcome: Outcome[_Checked]) -> None:
            handle.release()
            self._busy = False
            self._checked(piece, outcome, in_turn)

        self._executor.run(_work(fs, fd, piece), done)

    def _checked(self, piece: _Slice, outcome: Outcome[_Checked], in_turn: bool) -> None:
        if outcome.error is not None:
            if not isinstance(outcome.error, OSError):
                raise outcome.error
            self._skip(piece, outcome.error, in_turn)
            return
        checked = outcome.unwrap()
        read = max(checked.position - piece.position, 0)
        self.checked_bytes += read
        self._budget -= max(read, MIN_COST_BYTES)
        if checked.damage is not None:
            self._note(piece, checked.damage)
        if not in_turn:
            return
        self._offset = checked.next_offset
        self._state.moved(
            ScrubPlace(piece.log.topic_partition, self._offset),
            self._clock.now_ms(),
            self._executor,
        )
        self._go_on()

    def _note(self, piece: _Slice, damage: tuple[tuple[Damage, str], ...]) -> None:
        log, segment = piece.log, piece.segment
        held = log.segments[log.segments.slot_of(segment.base_offset)]
        if held is not segment or log.closed or segment.size_bytes < piece.end:
            return  # cut or replaced meanwhile: what was read is not what is there now
        for region, reason in damage:
            if region in segment.damage:
                continue
            try:
                add_damage(log, region, reason)
            except KafkaStorageError as error:
                logger.error("%s: the damage could not be noted: %s", log.topic_partition, error)

    def _skip(self, piece: _Slice, error: OSError, in_turn: bool) -> None:
        path = piece.segment.handle.path
        logger.error("%s cannot be read at byte %d: %s", path, piece.position, error)
        self._budget -= MIN_COST_BYTES
        if in_turn:
            self._offset = piece.bounds.recovery_point


def _slice_at(log: Log, offset: int) -> _Slice | None:
    """The bytes from the first batch at or after `offset` on, None if there are none."""
    for slot in range(log.segments.slot_of(offset), len(log.segments)):
        segment = log.segments[slot]
        bounds = _bounds(log, slot)
        next_offset = bounds.recovery_point
        position, expected = 0, segment.base_offset
        if segment.base_offset < offset < next_offset:
            try:
                found = segment.find(offset)
            except CorruptMessageError:
                found = position, 0  # the walk from the start of the segment will find it too
            if found is None:
                continue
            position = found[0]
            if position and offset != log.log_start_offset:
                expected = offset
        end = segment.size_bytes
        position = behind(segment.damage, position)
        for region in segment.damage:
            if region.position >= position:
                end = min(end, region.position)
        if position < end and offset < next_offset:
            return _Slice(log, segment, position, expected, end, bounds)
    return None


def _bounds(log: Log, slot: int) -> Bounds:
    """Nothing of an open log is a torn tail: above the recovery point bytes must be right too."""
    following = log.segments.end_of(slot)
    return Bounds(log.log_end_offset if following is None else following, MAX_OFFSET, following)


def _whole_segment(logs: Logs, path: str) -> _Slice | None:
    """All of the segment that the path belongs to, None for a file that is not here any more."""
    directory, _, name = path.rpartition("/")
    file = parse_offset_file(name)
    place = parse_partition_dir(directory.rpartition("/")[2])
    log = logs.get(place.topic_partition) if place is not None else None
    if file is None or file.suffix != LOG_SUFFIX or log is None or log.dir != directory:
        return None
    slot = log.segments.slot_of(file.offset)
    segment = log.segments[slot]
    if log.offline or log.closed or segment.base_offset != file.offset:
        return None
    return _Slice(log, segment, 0, file.offset, segment.size_bytes, _bounds(log, slot))


def _work(fs: FileSystem, fd: int, piece: _Slice) -> Callable[[], _Checked]:
    """For a worker thread: immutable views alone (D-11)."""
    segment, bounds = piece.segment, piece.bounds
    base_offset, size_bytes = segment.base_offset, segment.size_bytes
    path = segment.handle.path

    def work() -> _Checked:
        scan = BatchScan(
            ReadingAround(fs, fd),
            fd,
            piece.end,
            piece.offset,
            position=piece.position,
            last_offset=bounds.recovery_point - 1,
        )
        for _ in scan:
            if scan.valid_bytes - piece.position >= SLICE_BYTES:
                break
        if scan.fault is None:
            return _Checked(scan.valid_bytes, scan.next_offset, None)
        found = find_damage(fs, fd, path, base_offset, size_bytes, bounds)
        return _Checked(size_bytes, bounds.recovery_point, tuple(found))

    return work
