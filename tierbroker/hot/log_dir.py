"""One log directory: its identity, lock, checkpoints, free space, and whether it still works.

Knows nothing of what is in a partition. A directory whose disk failed is offline for the rest of
the process's life: nothing here may try it again.
"""

import logging
import os

from tierbroker.base.errors import DataDirError, KafkaStorageError
from tierbroker.base.fs import FileSystem, make_directory_durably, write_atomically
from tierbroker.base.ids import Uuid, uuid_text
from tierbroker.hot.clean_shutdown import (
    PreviousShutdown,
    read_clean_shutdown,
    take_clean_shutdown,
    write_clean_shutdown,
)
from tierbroker.hot.dir_lock import DirLock
from tierbroker.hot.disk_errors import is_disk_failure
from tierbroker.hot.meta_properties import (
    META_PROPERTIES_FILE,
    InvalidMetaPropertiesError,
    MetaProperties,
    decode_meta_properties,
    encode_meta_properties,
)
from tierbroker.hot.offset_checkpoint import (
    CLEANER_FILE,
    HIGH_WATERMARK_FILE,
    LOG_START_FILE,
    RECOVERY_POINT_FILE,
    OffsetCheckpoint,
)
from tierbroker.hot.partition_dirs import (
    METADATA_TOPIC,
    DirState,
    PartitionDir,
    parse_partition_dir,
)

logger = logging.getLogger(__name__)


class LogDir:
    """A locked log directory. `LogDirs.open` makes them."""

    def __init__(self, fs: FileSystem, path: str, reserve_bytes: int = 0) -> None:
        """Make the directory if need be and lock it.

        Raises DataDirError when it is in use or cannot be made.
        """
        self.path = path
        self.fs = fs
        self.reserve_bytes = reserve_bytes
        self.free_bytes = 0
        self.total_bytes = 0
        self.error: OSError | None = None
        self.identity: MetaProperties | None = None
        self.recovery_points = OffsetCheckpoint(fs, path, RECOVERY_POINT_FILE)
        self.log_starts = OffsetCheckpoint(fs, path, LOG_START_FILE)
        self.high_watermarks = OffsetCheckpoint(fs, path, HIGH_WATERMARK_FILE)
        self.cleaner_offsets = OffsetCheckpoint(fs, path, CLEANER_FILE)
        try:
            make_directory_durably(fs, path)
        except OSError as error:
            raise DataDirError(
                f"Cannot make the log directory {path}: {error.strerror}. Make it yourself and "
                f"give the broker's user write access, or choose another with log.dirs."
            ) from error
        self._lock = DirLock(fs, path)
        # Older than any write: the kernel reports a failed write-back only to such a descriptor.
        self._sync_fd = fs.open(path, os.O_RDONLY | os.O_DIRECTORY)

    @property
    def offline(self) -> bool:
        """Whether the directory was given up."""
        return self.error is not None

    @property
    def directory_id(self) -> Uuid:
        """The directory's own id, once its identity is settled."""
        assert self.identity is not None
        assert self.identity.directory_id is not None
        return self.identity.directory_id

    def take_offline(self, error: OSError) -> bool:
        """Give the directory up; False if that had been done before."""
        if self.error is not None:
            return False
        self.error = error
        logger.error(
            "Log directory %s is offline until the broker is restarted: %s", self.path, error
        )
        return True

    def read_identity(self) -> MetaProperties | None:
        """What meta.properties says; None in a new directory.

        Raises DataDirError when the file is unreadable, or missing beside partitions.
        """
        path = os.path.join(self.path, META_PROPERTIES_FILE)
        if not self.fs.exists(path):
            orphans = self.partition_dirs()
            if orphans:
                raise DataDirError(
                    f"{self.path} holds {len(orphans)} partitions but no {META_PROPERTIES_FILE}, "
                    f"so nobody can tell whose they are. Restore that file from a backup, or "
                    f"choose an empty directory with log.dirs."
                )
            return None
        try:
            return decode_meta_properties(self.fs.read_file(path))
        except InvalidMetaPropertiesError as error:
            raise DataDirError(
                f"{path} cannot be used: {error}. Restore it from a backup, or copy cluster.id "
                f"and node.id from another log directory of the same broker."
            ) from error

    def settle_identity(self, identity: MetaProperties) -> None:
        """Take on the identity, writing the file unless it says so already."""
        assert identity.directory_id is not None
        path = os.path.join(self.path, META_PROPERTIES_FILE)
        data = encode_meta_properties(identity)
        if self.read_identity() != identity:
            write_atomically(self.fs, path, data)
            self.fs.fsync_dir(os.path.dirname(os.path.abspath(self.path)))
            logger.info("%s is log directory %s", self.path, uuid_text(identity.directory_id))
        self.identity = identity

    def partition_dirs(self) -> dict[str, PartitionDir]:
        """Directories that hold partitions, by name; everything else in the directory is left out.

        Raises OSError.
        """
        found: dict[str, PartitionDir] = {}
        for name in sorted(self.fs.listdir(self.path)):
            parsed = parse_partition_dir(name)
            if parsed is not None:
                found[name] = parsed
        return found

    def held_partitions(self) -> int:
        """How many partitions lie here, the metadata log not counted. Raises OSError."""
        return sum(
            state is DirState.LIVE and slot.topic != METADATA_TOPIC
            for slot, state in self.partition_dirs().values()
        )

    def previous_shutdown(self) -> PreviousShutdown:
        """How the last owner ended, for a look before anything is touched. Raises OSError."""
        return read_clean_shutdown(self.fs, self.path)

    def take_clean_shutdown(self) -> PreviousShutdown:
        """How the last owner ended; forgotten by this, durably. Raises OSError."""
        return take_clean_shutdown(self.fs, self.path)

    def write_clean_shutdown(self, broker_epoch: int) -> None:
        """Leave word that all logs were closed in order. Raises OSError."""
        write_clean_shutdown(self.fs, self.path, broker_epoch)

    def sync(self) -> None:
        """Make everything on the directory's file system durable. Raises OSError."""
        self.fs.syncfs(self._sync_fd)

    def refresh_space(self) -> None:
        """Look at the free space again; called about once a second."""
        if self.error is None:
            try:
                self.free_bytes = self.fs.free_bytes(self.path)
                self.total_bytes = self.fs.total_bytes(self.path)
            except OSError as error:
                if is_disk_failure(error):
                    self.take_offline(error)

    @property
    def below_reserve(self) -> bool:
        """Whether only metadata, offsets and checkpoints may still be written."""
        return self.free_bytes < self.reserve_bytes

    def check_room(self) -> None:
        """Raise KafkaStorageError (retriable) when produce must be refused for lack of space."""
        if self.free_bytes < self.reserve_bytes:
            raise KafkaStorageError(
                f"{self.path} has {self.free_bytes} bytes free, less than the reserve of "
                f"{self.reserve_bytes} (log.disk.reserve.bytes); free some space or lower retention"
            )

    def release(self) -> None:
        """Give the lock up. Nothing may be written afterwards."""
        if self._sync_fd >= 0:
            self.fs.close(self._sync_fd)
            self._sync_fd = -1
        self._lock.release()
