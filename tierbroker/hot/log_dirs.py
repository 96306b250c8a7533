"""All log directories of a broker: whose they are, which still work, where a new partition goes.

Identity is settled here for all of them at once, because a directory of another cluster or node
must be refused before anything in any of them is touched.
"""

import logging
import os
import random
from collections.abc import Iterator, Mapping, Sequence

from tierbroker.base.errors import DataDirError, KafkaStorageError
from tierbroker.base.fs import FileSystem
from tierbroker.base.ids import Uuid, random_uuid, uuid_text
from tierbroker.hot.log_dir import LogDir
from tierbroker.hot.meta_properties import MetaProperties

logger = logging.getLogger(__name__)


class LogDirs:
    """The directories of one broker, locked and with a settled identity."""

    def __init__(self, dirs: Sequence[LogDir], cluster_id: str, node_id: int) -> None:
        self._dirs = {log_dir.path: log_dir for log_dir in dirs}
        self.cluster_id = cluster_id
        self.node_id = node_id

    @classmethod
    def open(
        cls,
        fs: FileSystem,
        paths: Sequence[str],
        *,
        rng: random.Random,
        node_id: int,
        cluster_id: str | None = None,
        reserve_bytes: int = 0,
    ) -> "LogDirs":
        """Lock the directories and settle whose they are.

        New directories are made and get an identity; a new cluster id is drawn when none is given
        and no directory has one. Raises DataDirError when a directory is in use or belongs to
        another cluster or node; nothing is written then and all locks are given up.
        """
        opened: list[LogDir] = []
        try:
            # extend() keeps what was opened when a later one fails, so that its lock is released.
            opened.extend(LogDir(fs, path, reserve_bytes) for path in _distinct(paths))
            identities = _identities(opened, rng, node_id, cluster_id)
            for log_dir, identity in zip(opened, identities, strict=True):
                log_dir.settle_identity(identity)
                log_dir.refresh_space()
        except OSError as error:
            _release_all(opened)
            raise DataDirError(
                f"The log directories {', '.join(paths)} cannot be used: {error}. "
                f"Repair the disk, or leave the broken one out of log.dirs."
            ) from error
        except DataDirError:
            _release_all(opened)
            raise
        return cls(opened, identities[0].cluster_id, node_id)

    def __iter__(self) -> Iterator[LogDir]:
        return iter(self._dirs.values())

    def __len__(self) -> int:
        return len(self._dirs)

    def __getitem__(self, path: str) -> LogDir:
        return self._dirs[path]

    @property
    def online(self) -> list[LogDir]:
        """The directories that still work."""
        return [log_dir for log_dir in self if not log_dir.offline]

    def by_id(self, directory_id: Uuid) -> LogDir | None:
        """The directory of that id."""
        for log_dir in self:
            if log_dir.directory_id == directory_id:
                return log_dir
        return None

    def place(self, partitions: Mapping[str, int]) -> LogDir:
        """The directory for a new partition: working, above its reserve, with fewest partitions.

        `partitions` counts them by directory path. Among equals the first in log.dirs wins. Raises
        KafkaStorageError when no directory works.
        """
        online = self.online
        if not online:
            raise KafkaStorageError("every log directory is offline; see the broker's log")
        roomy = [log_dir for log_dir in online if not log_dir.below_reserve] or online
        return min(roomy, key=lambda log_dir: partitions.get(log_dir.path, 0))

    def refresh_space(self) -> None:
        """Look at the free space of every working directory."""
        for log_dir in self:
            log_dir.refresh_space()

    def release(self) -> None:
        """Give up all locks, last thing before the process goes on to something else."""
        _release_all(list(self))


def _distinct(paths: Sequence[str]) -> list[str]:
    if not paths:
        raise DataDirError("No log directory is configured; set log.dirs")
    absolute = [os.path.abspath(path) for path in paths]
    for path in absolute:
        if absolute.count(path) > 1:
            raise DataDirError(f"log.dirs names {path} twice; name each directory once")
    return absolute


def _identities(
    dirs: Sequence[LogDir], rng: random.Random, node_id: int, cluster_id: str | None
) -> list[MetaProperties]:
    """The identity of each directory, drawn where it has none. Raises DataDirError."""
    known = [log_dir.read_identity() for log_dir in dirs]
    for log_dir, identity in zip(dirs, known, strict=True):
        if identity is None:
            continue
        cluster_id = cluster_id or identity.cluster_id
        if identity.cluster_id != cluster_id:
            raise DataDirError(
                f"{log_dir.path} belongs to cluster {identity.cluster_id}, this broker to cluster "
                f"{cluster_id}. Choose a directory of this cluster with log.dirs, or an empty one."
            )
        if identity.node_id != node_id:
            raise DataDirError(
                f"{log_dir.path} belongs to node {identity.node_id}, this broker is node {node_id}."
                f" Start it with node.id={identity.node_id}, or choose another directory with "
                f"log.dirs."
            )
    if cluster_id is None:
        cluster_id = uuid_text(random_uuid(rng))
    settled: list[MetaProperties] = []
    seen: dict[Uuid, str] = {}
    for log_dir, identity in zip(dirs, known, strict=True):
        directory_id = (identity and identity.directory_id) or random_uuid(rng)
        if directory_id in seen:
            raise DataDirError(
                f"{log_dir.path} and {seen[directory_id]} carry the same directory.id: one is a "
                f"copy of the other. Leave the copy out of log.dirs."
            )
        seen[directory_id] = log_dir.path
        settled.append(MetaProperties(cluster_id, node_id, directory_id))
    return settled


def _release_all(dirs: Sequence[LogDir]) -> None:
    for log_dir in dirs:
        log_dir.release()
