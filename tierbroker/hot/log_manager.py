"""Every log of the broker: opened at the start, made, deleted, checkpointed, closed at the end.

Loop thread only; what may take long on a disk (removal, checkpoint writes) goes to the executor.
Nothing here decides what a partition is for: the metadata does, and this follows. A directory
whose disk failed takes its logs with it, and no other directory's.
"""

import logging
import random
from collections.abc import Callable, Iterator

from tierbroker.base.clock import Clock
from tierbroker.base.errors import KafkaStorageError
from tierbroker.base.executor import Executor
from tierbroker.base.ids import ZERO_UUID, TopicPartition, Uuid, uuid_text
from tierbroker.hot import log_loader
from tierbroker.hot.checkpoint_writer import CheckpointWriter
from tierbroker.hot.clean_shutdown import NO_BROKER_EPOCH
from tierbroker.hot.config import LogConfig
from tierbroker.hot.disk_errors import is_disk_failure, is_full
from tierbroker.hot.errors import CorruptLogError
from tierbroker.hot.file_cache import FileCache
from tierbroker.hot.log import Log
from tierbroker.hot.log_cutting import evict_segments
from tierbroker.hot.log_dir import LogDir
from tierbroker.hot.log_dirs import LogDirs
from tierbroker.hot.partition_dirs import DirState, marked_dir_name
from tierbroker.hot.partition_metadata import read_topic_id
from tierbroker.hot.producer_state import DEFAULT_EXPIRATION_MS
from tierbroker.hot.removal import DelayedRemoval
from tierbroker.hot.timestamp_warnings import TimestampWarnings

logger = logging.getLogger(__name__)

_RESERVED_DIRECTORY_IDS = 100
"""Ids below stand for unassigned, lost and migrating (Kafka: DirectoryId)."""


def _never_tiered(_: Log) -> int | None:
    return None


class LogManager:
    """The logs on this broker's directories, by partition."""

    def __init__(
        self,
        dirs: LogDirs,
        cache: FileCache,
        executor: Executor,
        clock: Clock,
        rng: random.Random,
        *,
        producer_expiration_ms: int = DEFAULT_EXPIRATION_MS,
        on_dir_offline: Callable[[LogDir, OSError], None] | None = None,
    ) -> None:
        """`on_dir_offline` is told once for each directory given up, after its logs are offline."""
        self.dirs = dirs
        self.failed: dict[TopicPartition, Exception] = {}
        """Partitions that are on a disk but could not be opened, and why. They stay untouched."""
        self.pending: set[TopicPartition] = set()
        """Partitions that are on a disk and whose logs will be opened soon (`log_startup`)."""
        self._unwanted: set[TopicPartition] = set()
        self.cache = cache
        self._producer_expiration_ms = producer_expiration_ms
        self._executor = executor
        self._clock = clock
        self._rng = rng
        self._on_dir_offline = on_dir_offline
        self._logs: dict[TopicPartition, Log] = {}
        self._by_dir: dict[str, dict[TopicPartition, Log]] = {d.path: {} for d in dirs}
        self._writers = {d.path: CheckpointWriter(d, executor, self.take_offline) for d in dirs}
        self._removal = DelayedRemoval(executor)
        self._damaged_dirs: set[str] = set()
        self._timestamps = TimestampWarnings()
        self.in_compaction: Log | None = None
        """Retention waits for the end of its round, which would be in vain otherwise."""
        self.awaiting_retention: set[Log] = set()
        """Those that it waited for: no other round of theirs may begin before it."""

    def __len__(self) -> int:
        return len(self._logs)

    def __iter__(self) -> Iterator[Log]:
        return iter(list(self._logs.values()))

    def get(self, topic_partition: TopicPartition) -> Log | None:
        """The open log of the partition."""
        return self._logs.get(topic_partition)

    def places(self) -> list[TopicPartition]:
        """The partitions that have an open log."""
        return list(self._logs)

    def log_dir_of(self, log: Log) -> LogDir:
        """The directory that holds the log."""
        return self.dirs[log.dir.rpartition("/")[0]]

    # -- making and deleting -------------------------------------------------------------------

    def get_or_create(
        self,
        topic_partition: TopicPartition,
        topic_id: Uuid,
        config: LogConfig,
        held_in: Uuid | None = None,
    ) -> Log | None:
        """The partition's log, made if there is none; None while its disk is of no use.

        `held_in` is the directory that holds a replica which is not new, or one of Kafka's
        reserved ids where nobody knows. Where that is not at hand no empty log is made instead: it
        would give out the same offsets again. None is worth another try later unless the partition
        is among `failed`. A log of another topic id under the same name is set aside first.
        """
        if topic_partition in self.failed or topic_partition in self.pending:
            return None
        log = self._logs.get(topic_partition)
        if log is not None and log.topic_id != topic_id:
            self._set_aside(log, DirState.STRAY)
            log = None
        if log is not None:
            log.config = config
            return log
        try:
            if held_in is not None and self._may_lie_elsewhere(held_in):
                raise KafkaStorageError("its records are in a log directory that is not here")
            return self.create_log(topic_partition, topic_id, config)
        except KafkaStorageError as error:
            logger.error("Cannot make the log of %s: %s", topic_partition, error)
            if not isinstance(error.__cause__, OSError):
                self.failed[topic_partition] = error
            return None

    def _may_lie_elsewhere(self, directory_id: Uuid) -> bool:
        """Whether a replica held in that directory may exist where nobody can look now."""
        log_dir = self.dirs.by_id(directory_id)
        if log_dir is not None:
            return log_dir.offline
        if int.from_bytes(directory_id, "big") < _RESERVED_DIRECTORY_IDS:
            return len(self.dirs.online) < len(self.dirs)
        return True

    @property
    def has_room(self) -> bool:
        """Whether a log could be made in any directory."""
        return any(not log_dir.below_reserve for log_dir in self.dirs.online)

    def create_log(self, topic_partition: TopicPartition, topic_id: Uuid, config: LogConfig) -> Log:
        """Make the log in the directory with the fewest partitions.

        Its names become durable with its first flush. Raises KafkaStorageError when no directory
        takes it; one whose disk failed at that is offline then.
        """
        assert topic_partition not in self._logs, f"{topic_partition} exists"
        log_dir = self.dirs.place({path: len(logs) for path, logs in self._by_dir.items()})
        try:
            self._free_name(log_dir, topic_partition, topic_id)
            log = self.open_log(
                f"{log_dir.path}/{topic_partition}", topic_partition, topic_id, config
            )
        except CorruptLogError as error:
            raise KafkaStorageError(f"{topic_partition} cannot be made: {error}") from error
        except OSError as error:
            raise self._creation_failed(log_dir, topic_partition, error) from error
        self.add(log_dir, log)
        return log

    def _free_name(self, log_dir: LogDir, slot: TopicPartition, topic_id: Uuid) -> None:
        """Nothing that is left of a deleted topic may pass for the new log. Raises OSError."""
        self._writers[log_dir.path].forget(slot, self._by_dir[log_dir.path].values())
        path = f"{log_dir.path}/{slot}"
        if log_dir.fs.exists(path):
            # That of a damaged log, say, which deleting the topic did not touch.
            found = read_topic_id(log_dir.fs, path)
            if found not in (None, topic_id):
                self.set_stray(log_dir, slot, found or ZERO_UUID)

    def add(self, log_dir: LogDir, log: Log) -> None:
        """Take over an open log; `log_startup` does that for those found on the disk."""
        self._logs[log.topic_partition] = log
        self._by_dir[log_dir.path][log.topic_partition] = log

    def open_log(
        self,
        directory: str,
        topic_partition: TopicPartition,
        topic_id: Uuid,
        config: LogConfig,
        *,
        clean: bool = False,
        recovery_point: int = 0,
        log_start_offset: int = 0,
        cache: FileCache | None = None,
    ) -> Log:
        """Open or make the log in the directory; `add` takes it over then.

        On another thread, with a cache of its own. Raises OSError and CorruptLogError.
        """
        return log_loader.open_log(
            cache or self.cache,
            directory,
            topic_partition,
            config,
            clock=self._clock,
            rng=self._rng,
            topic_id=topic_id,
            clean=clean,
            recovery_point=recovery_point,
            log_start_offset=log_start_offset,
            producer_expiration_ms=self._producer_expiration_ms,
            on_offline=self._log_went_offline,
        )

    def note_checkpoints(
        self,
        log_dir: LogDir,
        points: dict[TopicPartition, int],
        starts: dict[TopicPartition, int],
    ) -> None:
        """What the checkpoint files of the directory said at the start."""
        self._writers[log_dir.path].note_found(points, starts)

    def note_pending(
        self, log_dir: LogDir, slot: TopicPartition, recovery_point: int, log_start_offset: int
    ) -> None:
        """This log will be opened soon. Until then what is known of it is kept, and its name."""
        self.pending.add(slot)
        self._writers[log_dir.path].keep(slot, recovery_point, log_start_offset)

    def end_pending(self, log_dir: LogDir, slot: TopicPartition) -> bool:
        """The log's turn has come; False if its topic was deleted meanwhile."""
        self.pending.discard(slot)
        self._writers[log_dir.path].release(slot)
        wanted = slot not in self._unwanted
        self._unwanted.discard(slot)
        return wanted

    def note_damaged(
        self,
        log_dir: LogDir,
        slot: TopicPartition,
        error: Exception,
        recovery_point: int,
        log_start_offset: int,
    ) -> None:
        """A log could not be opened: it stays as it is, and so does what is known of it.

        Its directory gets no clean-shutdown file, so that the next start looks at it as closely.
        """
        self.failed[slot] = error
        self._damaged_dirs.add(log_dir.path)
        self._writers[log_dir.path].keep(slot, recovery_point, log_start_offset)

    def delete_log(self, topic_partition: TopicPartition) -> None:
        """Take the log out; its files are removed after file.delete.delay.ms.

        The new name is durable at the next checkpoint; until then a crash makes a stray of it.
        """
        if topic_partition in self.pending:
            self._unwanted.add(topic_partition)
        log = self._logs.get(topic_partition)
        if log is not None:
            self._set_aside(log, DirState.DELETE)
        self.failed.pop(topic_partition, None)

    def _set_aside(self, log: Log, state: DirState) -> None:
        """Rename the log's directory, so that it is never opened as a live partition again."""
        log_dir = self.log_dir_of(log)
        slot = log.topic_partition
        del self._logs[slot]
        del self._by_dir[log_dir.path][slot]
        self.awaiting_retention.discard(log)
        log.close(clean=False)
        if log_dir.offline:
            return
        target = self._rename(log_dir, slot, state)
        if target is None:
            return
        log.moved_to(target)
        if state is DirState.DELETE:
            due_ms = self._clock.now_ms() + log.config.file_delete_delay_ms
            self._removal.add(log_dir, target, due_ms)
        else:
            _report_stray(slot, log.topic_id, target)

    def set_stray(self, log_dir: LogDir, slot: TopicPartition, topic_id: Uuid) -> None:
        """Set a directory aside whose topic the metadata does not know. It is never deleted."""
        target = self._rename(log_dir, slot, DirState.STRAY)
        if target is not None:
            _report_stray(slot, topic_id, target)

    def _rename(self, log_dir: LogDir, slot: TopicPartition, state: DirState) -> str | None:
        """The new path; None when the disk failed at it."""
        name = marked_dir_name(slot, self._rng.randbytes(16).hex(), state)
        target = f"{log_dir.path}/{name}"
        try:
            log_dir.fs.rename(f"{log_dir.path}/{slot}", target)
        except OSError as error:
            if is_disk_failure(error):
                self.take_offline(log_dir, error)
            else:
                logger.error("%s cannot be set aside as %s: %s", slot, target, error)
            return None
        self._writers[log_dir.path].sync_directory()
        return target

    def remove_later(self, log_dir: LogDir, path: str, due_ms: int) -> None:
        """Remove a directory that was set aside for deletion before."""
        self._removal.add(log_dir, path, due_ms)

    # -- failing disks -------------------------------------------------------------------------

    def take_offline(self, log_dir: LogDir, error: OSError) -> None:
        """Give a directory up with all its logs. Nothing on it is tried again."""
        if log_dir.take_offline(error):
            self._give_up(log_dir, error)

    def _give_up(self, log_dir: LogDir, error: OSError) -> None:
        for log in list(self._by_dir[log_dir.path].values()):
            log.offline = True
        if self._on_dir_offline is not None:
            self._on_dir_offline(log_dir, error)

    def take_path_offline(self, path: str, error: OSError) -> None:
        """The same by path: what a failed flush reports (`GroupFlusher.on_failure`)."""
        self.take_offline(self.dirs[path], error)

    def _log_went_offline(self, log: Log, error: OSError) -> None:
        if is_disk_failure(error):
            self.take_offline(self.log_dir_of(log), error)

    def _creation_failed(
        self, log_dir: LogDir, slot: TopicPartition, error: OSError
    ) -> KafkaStorageError:
        if is_full(error):
            return KafkaStorageError(f"no space left in {log_dir.path} for {slot}")
        if is_disk_failure(error):
            self.take_offline(log_dir, error)
        return KafkaStorageError(f"{slot} cannot be made in {log_dir.path}: {error}")

    # -- timers --------------------------------------------------------------------------------

    def tick(self, now_ms: int) -> None:
        """Once a second: look at the free space and remove what is due."""
        for log_dir in self.dirs.online:
            log_dir.refresh_space()
            if log_dir.error is not None:
                self._give_up(log_dir, log_dir.error)
        self._removal.run(now_ms)

    def checkpoint(self) -> None:
        """Write down recovery points and log starts that moved; once a second.

        The files are written on the executor. With one call a second a recovery point is at most
        one second and one write behind the flush. Costs next to nothing when nothing moved.
        """
        for log_dir in self.dirs.online:
            self._writers[log_dir.path].write(self._by_dir[log_dir.path].values())

    def checkpoint_high_watermarks(self, high_watermark: Callable[[Log], int]) -> None:
        """Write down the high watermarks (Kafka: replica.high.watermark.checkpoint.interval.ms)."""
        for log_dir in self.dirs.online:
            marks = {slot: high_watermark(log) for slot, log in self._by_dir[log_dir.path].items()}
            self._writers[log_dir.path].write_high_watermarks(marks)

    def apply_retention(
        self,
        now_ms: int,
        limit_of: Callable[[Log], int] | None = None,
        evict_limit_of: Callable[[Log], int | None] = _never_tiered,
    ) -> Iterator[int]:
        """Delete what retention lets go, one log a step; yields the segments that went.

        `limit_of` gives the high watermark, beyond which nothing goes; without it the flushed
        offset is the limit. `evict_limit_of` gives, for tiered logs, up to where the cold tier has
        everything: local retention is what they obey. The caller iterates, and gives the loop a
        turn when it takes long.
        """
        for log in self:
            if log is self.in_compaction:
                self.awaiting_retention.add(log)
            if log.offline or log.closed or log is self.in_compaction:
                continue
            self.awaiting_retention.discard(log)
            limit = log.flushed_offset if limit_of is None else limit_of(log)
            try:
                self._timestamps.look(log, now_ms)
                evict_limit = evict_limit_of(log)
                if evict_limit is None:
                    dropped = log.delete_old_segments(now_ms, limit)
                else:
                    dropped = evict_segments(log, now_ms, evict_limit)
            except (KafkaStorageError, OSError) as error:
                logger.warning("Retention of %s failed: %s", log.topic_partition, error)
                if isinstance(error, OSError) and is_disk_failure(error):
                    self.take_offline(self.log_dir_of(log), error)
                continue
            self.remove_deleted_files(log, now_ms)
            yield len(dropped)

    def remove_deleted_files(self, log: Log, now_ms: int) -> None:
        """Unlink, on the executor, what the log set aside file.delete.delay.ms ago."""
        files = log.take_deleted_files(now_ms)
        if files:
            self._removal.unlink(self.log_dir_of(log), files)

    # -- end -----------------------------------------------------------------------------------

    def shutdown(self, clean: bool = True, broker_epoch: int = NO_BROKER_EPOCH) -> None:
        """Close every log and give the directories up.

        With `clean`, everything is durable and checkpointed before the clean-shutdown file is
        written, last. A directory that fails on the way gets no such file: its logs are recovered
        at the next start. No flush or executor work may be under way.
        """
        for log_dir in self.dirs:
            self._close_dir(log_dir, clean, broker_epoch)
        self._logs.clear()
        self.dirs.release()

    def _close_dir(self, log_dir: LogDir, clean: bool, broker_epoch: int) -> None:
        logs = list(self._by_dir[log_dir.path].values())
        orderly = clean and not log_dir.offline
        for log in logs:
            try:
                log.close(clean=orderly, sync=False)
            except KafkaStorageError as error:
                logger.error("%s was not closed in order: %s", log.topic_partition, error)
                orderly = False
            # What an offline log left behind its end was never acknowledged: recovery cuts it.
            orderly = orderly and not log.offline
        if orderly and not log_dir.offline:
            try:
                log_dir.sync()
                self._writers[log_dir.path].write_last(logs)
                if log_dir.path not in self._damaged_dirs and not self.pending:
                    log_dir.write_clean_shutdown(broker_epoch)
            except OSError as error:
                self.take_offline(log_dir, error)


def _report_stray(slot: TopicPartition, topic_id: Uuid, path: str) -> None:
    logger.warning(
        "%s of topic id %s is not this broker's according to the metadata; kept as %s",
        slot,
        uuid_text(topic_id),
        path,
    )
