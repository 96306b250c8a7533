"""The stores that need no other server keep the contract of every object store."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.object_store_suite import ObjectStoreSuite
from tests.s3_server import IN_PARTS, judge, moto_server, opened_bucket
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
    async def store(self, tmp_path: Path) -> AsyncIterator[ObjectStore]:
        executor = ThreadExecutor(4, asyncio.get_running_loop().call_soon_threadsafe)
        yield DirectoryStore(str(tmp_path / "cold"), executor, OsFileSystem(), SystemClock())
        executor.close()
        await asyncio.sleep(0)  # what was posted last


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with moto_server() as endpoint:
        yield endpoint


BUCKETS = itertools.count()


class TestMoto(ObjectStoreSuite):
    """moto checks no signature and no checksum: MinIO and versitygw do, in integration."""

    @pytest.fixture
    async def store(self, endpoint: str) -> AsyncIterator[ObjectStore]:
        bucket = f"bucket-{next(BUCKETS)}"
        judge(endpoint).create_bucket(Bucket=bucket)
        with opened_bucket(f"s3://{bucket}/some/prefix", endpoint, IN_PARTS) as store:
            yield store
