"""The stores that need no other server keep the contract of every object store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.object_store_suite import ObjectStoreSuite
from tierbroker.base.clock import SystemClock
from tierbroker.base.executor import InlineExecutor, ThreadExecutor
from tierbroker.base.fs import OsFileSystem
from tierbroker.cold.ports import ObjectStore
from tierbroker.cold.stores.directory import DirectoryStore
from tierbroker.cold.stores.memory import MemoryStore


class TestMemory(ObjectStoreSuite):
    @pytest.fixture
    def store(self) -> ObjectStore:
        return MemoryStore(InlineExecutor(), OsFileSystem(), SystemClock(), page_objects=4)


class TestDirectory(ObjectStoreSuite):
    key_below_a_key = False  # a directory has one kind of thing under a name

    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectStore:
        return DirectoryStore(
            str(tmp_path / "not" / "made" / "yet"),
            InlineExecutor(),
            OsFileSystem(),
            SystemClock(),
            page_objects=4,
        )


class TestDirectoryOnThreads(TestDirectory):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> Iterator[ObjectStore]:
        import asyncio

        executor = ThreadExecutor(4, asyncio.get_running_loop().call_soon_threadsafe)
        yield DirectoryStore(str(tmp_path / "cold"), executor, OsFileSystem(), SystemClock())
        executor.close()
        await asyncio.sleep(0)  # what was posted last
