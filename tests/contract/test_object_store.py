"""The stores that need no other server keep the contract of every object store."""

import asyncio
import itertools
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.object_store_suite import KEY, ObjectStoreSuite, slice_of
from tests.s3_server import IN_PARTS, judge, moto_server, opened_bucket
from tierbroker.base.clock import SystemClock
from tierbroker.base.executor import InlineExecutor, ThreadExecutor
from tierbroker.base.fs import Buffer, OsFileSystem
from tierbroker.cold.errors import ObjectDamagedError, ObjectNotFoundError
from tierbroker.cold.keys import CHECKPOINT_SUFFIX, MANIFEST_SUFFIX, SEGMENT_SUFFIX
from tierbroker.cold.ports import ObjectStore
from tierbroker.cold.stores.directory import DirectoryStore
from tierbroker.cold.stores.memory import MemoryStore
from tierbroker.cold.stores.s3 import S3Store
from tierbroker.cold.stores.unfinished import UploadsInParts

WAIT_S = 30


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


@pytest.mark.parametrize("suffix", [SEGMENT_SUFFIX, MANIFEST_SUFFIX, CHECKPOINT_SUFFIX])
async def test_what_is_under_a_key_of_one_use_is_what_was_sent(endpoint: str, suffix: str) -> None:
    """Also where the store gives the object an etag that is not the one of its answer."""
    bucket = f"bucket-{next(BUCKETS)}"
    client = judge(endpoint)
    client.create_bucket(Bucket=bucket)
    with opened_bucket(f"s3://{bucket}", endpoint, {}) as store:
        assert isinstance(store, S3Store)
        send = store._put_content

        async def torn(key: str, content: Buffer, mode: object) -> str:
            etag = await send(key, content, mode)
            client.put_object(Bucket=bucket, Key=key, Body=b"what was")
            return etag

        store._put_content = torn  # type: ignore[method-assign]
        with pytest.raises(ObjectDamagedError, match="8 bytes after 13 were sent"):
            await store.put(f"a{suffix}", [b"what was sent"])
        assert (await store.put("head", [b"what was sent"])).size_bytes == 13


class StoppingFileSystem(OsFileSystem):
    """Stops in the middle of a body until it is told to go on."""

    def __init__(self, after_bytes: int) -> None:
        super().__init__()
        self._after_bytes = after_bytes
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def pread(self, fd: int, nbytes: int, position: int) -> bytes:  # type: ignore[override]
        if position >= self._after_bytes:
            self.reached.set()
            assert self.go_on.wait(WAIT_S)
        return os.pread(fd, nbytes, position)


async def test_an_upload_in_parts_that_is_withdrawn_leaves_none(
    endpoint: str, tmp_path: Path
) -> None:
    judge(endpoint).create_bucket(Bucket="parts")
    size = ObjectStoreSuite.multipart_bytes
    fs = StoppingFileSystem(size // 2)
    with (
        opened_bucket("s3://parts", endpoint, IN_PARTS, fs) as store,
        slice_of(tmp_path / "log", os.urandom(size), 0, size) as part,
    ):
        assert isinstance(store, UploadsInParts)
        assert store.parts_settled().done
        storing = store.put(KEY, [part])
        assert await asyncio.to_thread(fs.reached.wait, WAIT_S)
        storing.cancel()
        settled = store.parts_settled()
        assert not settled.done
        fs.go_on.set()
        await settled
        assert "Uploads" not in judge(endpoint).list_multipart_uploads(Bucket="parts")
        with pytest.raises(ObjectNotFoundError):
            await store.head(KEY)
