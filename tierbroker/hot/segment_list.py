"""The segments of one log in order: sealed ones and the active one, as files and in memory.

Rolls, drops from the front, cuts at the end. Knows nothing of producers, epochs or flushes.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from tierbroker.base.clock import Clock
from tierbroker.hot.active_segment import ActiveSegment
from tierbroker.hot.damage import Regions, behind
from tierbroker.hot.file_cache import FileCache
from tierbroker.hot.file_names import DELETED_SUFFIX, SWAP_SUFFIX
from tierbroker.hot.segment import ReadableSegment, SealedSegment, scan_segment, segment_files


class SegmentList:
    """Never empty: there always is an active segment."""

    def __init__(
        self,
        cache: FileCache,
        clock: Clock,
        directory: str,
        sealed: list[SealedSegment],
        active: ActiveSegment,
    ) -> None:
        self.cache = cache
        self.directory = directory
        self.sealed = sealed
        self.active = active
        self._clock = clock
        self._fs = cache.fs
        self._bases = [segment.base_offset for segment in sealed]
        self._deleted: list[tuple[int, str]] = []

    def __iter__(self) -> Iterator[ReadableSegment]:
        yield from self.sealed
        yield self.active

    def __len__(self) -> int:
        return len(self.sealed) + 1

    def __getitem__(self, slot: int) -> ReadableSegment:
        return self.sealed[slot] if slot < len(self.sealed) else self.active

    @property
    def first(self) -> ReadableSegment:
        """The oldest segment."""
        return self.sealed[0] if self.sealed else self.active

    @property
    def size_bytes(self) -> int:
        """Bytes of all log files."""
        return sum(segment.size_bytes for segment in self)

    @property
    def damage(self) -> Regions:
        """The damaged regions of all segments."""
        return tuple([region for segment in self for region in segment.damage])

    def slot_of(self, offset: int) -> int:
        """Slot of the segment that holds `offset` or would; 0 for offsets below all of them."""
        if offset >= self.active.base_offset:
            return len(self.sealed)
        return max(bisect_right(self._bases, offset) - 1, 0)

    def end_of(self, slot: int) -> int | None:
        """The base offset of the segment after that one, None for the active one."""
        if slot >= len(self.sealed):
            return None
        return self[slot + 1].base_offset

    def roll(self, base_offset: int, index_interval_bytes: int) -> SealedSegment:
        """Seal the active segment and begin one at `base_offset`; raises OSError, changing nothing.

        The three files of the sealed one are acquired; the caller releases them.
        """
        active = self.active
        assert base_offset > active.base_offset, "an empty segment cannot be rolled onto itself"
        active.write_last_entries()
        following = self._new_active(base_offset, index_interval_bytes)
        active.acquire_indexes()
        sealed = active.seal()
        self.sealed.append(sealed)
        self._bases.append(sealed.base_offset)
        self.active = following
        return sealed

    def _new_active(self, base_offset: int, index_interval_bytes: int) -> ActiveSegment:
        return ActiveSegment(
            self.cache,
            self.directory,
            base_offset,
            index_interval_bytes=index_interval_bytes,
            created_ms=self._clock.now_ms(),
            create=True,
        )

    def drop_front(self, count: int, due_ms: int) -> list[SealedSegment]:
        """Take the `count` oldest sealed segments out; their files are unlinked from `due_ms` on.

        Readers that lease a file keep it. Raises OSError.
        """
        assert count <= len(self.sealed), "the active segment cannot be dropped"
        dropped = self.sealed[:count]
        for segment in dropped:
            self.remove_later(self._set_aside(segment), due_ms)
            del self.sealed[0]
            del self._bases[0]
            segment.retire()
        return dropped

    def _set_aside(self, segment: ReadableSegment) -> list[str]:
        # The log file goes first: index files without it are known as leftovers at a start.
        aside = [path for path in segment_files(segment) if self._fs.exists(path)]
        for path in aside:
            self._fs.rename(path, path + DELETED_SUFFIX)
        return [path + DELETED_SUFFIX for path in aside]

    def replace(
        self, replaced: Sequence[SealedSegment], new: SealedSegment, suffixes: Sequence[str]
    ) -> list[str]:
        """Put a segment, its files of these suffixes still called `.swap`, in the place of others.

        Answers the files set aside. They may be removed once the directory is synced, and readers
        that lease them keep them. Raises OSError: the files are between two states then.
        """
        slot = self.sealed.index(replaced[0])
        end = slot + len(replaced)
        assert self.sealed[slot:end] == list(replaced), "the segments are no neighbours any more"
        aside = [path for segment in replaced for path in self._set_aside(segment)]
        # The log first: a start takes the indexes called `.swap` beside it for its own.
        for suffix in suffixes:
            path = new.path(suffix)
            self._fs.rename(path + SWAP_SUFFIX, path)
        self.sealed[slot:end] = [new]
        self._bases[slot:end] = [new.base_offset]
        for segment in replaced:
            segment.retire()
        return aside

    def remove_later(self, paths: Iterable[str], due_ms: int) -> None:
        """Files that `take_deleted_files` answers from `due_ms` on."""
        self._deleted += [(due_ms, path) for path in paths]

    @property
    def awaits_removal(self) -> bool:
        """Whether files were set aside that `take_deleted_files` has not answered yet."""
        return bool(self._deleted)

    def take_deleted_files(self, now_ms: int) -> list[str]:
        """Paths that may be unlinked now, each answered once. Unlinking can take long."""
        due = [path for due_ms, path in self._deleted if due_ms <= now_ms]
        self._deleted = [entry for entry in self._deleted if entry[0] > now_ms]
        return due

    def cut(self, offset: int, index_interval_bytes: int) -> int:
        """Remove every batch that reaches `offset` or beyond; answers the new log end offset.

        Raises OSError; what was removed before stays removed.
        """
        while self.active.base_offset > offset and self.sealed:
            self._unlink(self.active)
            self._reopen_last(index_interval_bytes)
        if self.active.base_offset > offset:
            self.restart(offset, index_interval_bytes)
            return offset
        active = self.active
        position = active.cut_position(offset)
        first_removed = [r.first_offset for r in active.damage if r.position >= position]
        active.damage = tuple([r for r in active.damage if r.next_offset <= offset])
        if position == active.size_bytes:
            return min([offset, *first_removed])
        for _, header in scan_segment(self._fs, active, position):
            first_removed.append(header.base_offset)
            break
        self._fs.ftruncate(active.fd, position)
        self.load_active(active, position)
        return min([offset, *first_removed])

    def _reopen_last(self, index_interval_bytes: int) -> None:
        last = self.sealed.pop()
        self._bases.pop()
        active = ActiveSegment(
            self.cache,
            self.directory,
            last.base_offset,
            index_interval_bytes=index_interval_bytes,
            created_ms=self._clock.now_ms(),
            create=False,
        )
        last.retire()
        active.damage = last.damage
        self.active = active
        self.load_active(active, last.size_bytes)

    def load_active(self, active: ActiveSegment, size_bytes: int) -> None:
        """Read all headers of a segment and build its indexes anew, on disk too."""
        active.size_bytes = size_bytes
        batches = list(scan_segment(self._fs, active, 0))
        active.clear_indexes()
        active.size_bytes = 0
        for position, header in batches:
            active.size_bytes = position
            active.note_batch(header.last_offset, header.size_bytes, header.max_timestamp)
        active.size_bytes = behind(active.damage, active.size_bytes)
        active.rewrite_indexes()

    def restart(self, offset: int, index_interval_bytes: int) -> None:
        """Remove everything and begin at `offset`; raises OSError."""
        # From the end, so that a crash in between leaves no hole.
        self._unlink(self.active)
        while self.sealed:
            segment = self.sealed.pop()
            self._bases.pop()
            self._unlink(segment)
        self.active = self._new_active(offset, index_interval_bytes)

    def _unlink(self, segment: SealedSegment | ActiveSegment) -> None:
        for path in segment_files(segment):
            if self._fs.exists(path):
                self._fs.unlink(path)
        segment.retire()

    def retire(self) -> None:
        """Close all files once their readers are done."""
        self.active.retire()
        for segment in self.sealed:
            segment.retire()
