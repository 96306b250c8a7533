"""A store in a directory whose disk is full: nothing is lost, and it recovers by itself."""

import errno
from pathlib import Path
from typing import Any

import pytest

from tests.faulty_fs import FaultyFileSystem
from tests.tier_world import TierWorld
from tierbroker.base.executor import InlineExecutor
from tierbroker.cold.errors import PreconditionFailedError
from tierbroker.cold.room import RoomKeeper
from tierbroker.cold.stores.directory import DirectoryStore

KEPT = 1000


class DirectoryWorld(TierWorld):
    def __init__(self, root: Path) -> None:
        super().__init__(partitions=3)
        self.root = root
        self.fs = FaultyFileSystem()
        self.free_bytes = 1 << 30
        self.directory = DirectoryStore(str(root), InlineExecutor(), self.fs, self.clock)
        self.roomy = RoomKeeper(self.directory, InlineExecutor(), lambda: self.free_bytes, KEPT)
        self.uploader._store = self.roomy

    def files(self, pattern: str = "*.seg") -> list[Path]:
        return [path for path in self.root.rglob(pattern) if path.is_file()]


@pytest.fixture
def world(tmp_path: Path) -> DirectoryWorld:
    return DirectoryWorld(tmp_path / "cold")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_write_that_finds_no_room_is_tried_again(world: DirectoryWorld, number: int) -> None:
    for partition in world.partitions:
        partition.close_segment()
        partition.close_segment()
    world.fs.fail_next("write", number, times=8)
    world.uploader.tick()
    world.advance(30)
    assert world.files() == []
    assert [p for p in (world.root / ".incoming").iterdir() if p.is_file()] == []
    (first, *_) = world.uploader.troubles.values()
    assert "full" in first.reason or "quota" in first.reason
    world.advance(600)
    assert [world.ends(number) for number in range(3)] == [[9, 19]] * 3
    assert len(world.files()) == 6
    assert world.uploader.troubles == {}


def test_the_reserve_of_the_disk_is_not_used_up(world: DirectoryWorld) -> None:
    world.partition.close_segment(size_bytes=5000)
    world.free_bytes = 5000
    world.uploader.tick()
    (trouble,) = world.uploader.troubles.values()
    assert "its disk has 5000 bytes free" in trouble.reason
    assert "log.disk.reserve.bytes" in trouble.reason
    assert world.files() == []
    world.free_bytes = 20_000
    world.advance(10)
    assert world.ends() == [9]


def test_conditions_are_passed_on(world: DirectoryWorld) -> None:
    world.roomy.put("a", [b"x"], if_absent=True).result()
    with pytest.raises(PreconditionFailedError):
        world.roomy.put("a", [b"y"], if_absent=True).result()
    with pytest.raises(PreconditionFailedError):
        world.roomy.put("a", [b"y"], if_match="another").result()


def test_a_directory_that_is_not_there_yet_is_no_full_one(world: DirectoryWorld) -> None:
    def missing() -> Any:
        raise FileNotFoundError(errno.ENOENT, "no such directory")

    store = RoomKeeper(world.directory, InlineExecutor(), missing, KEPT)
    assert store.put("a.seg", [b"xy"]).result().size_bytes == 2
