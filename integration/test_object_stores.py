"""The contract of object stores, kept by MinIO and by versitygw; others say what lies in there."""

import asyncio
import itertools
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import minio
import pytest
from botocore.exceptions import ClientError

from integration.object_stores import Minio, Versitygw
from tests.object_store_suite import KEY, ObjectStoreSuite, slice_of, whole
from tests.s3_server import IN_PARTS, KEY_ID, SECRET, judge, opened_bucket
from tierbroker.cold.checksum import checksum_text, crc64nvme
from tierbroker.cold.errors import (
    BodyUnreadableError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreRefusedError,
    StoreUnavailableError,
)
from tierbroker.cold.ports import ObjectStore
from tierbroker.cold.stores.s3 import S3Store

BUCKETS = itertools.count()
Server = Minio | Versitygw
BOUNDED_S = 120
"""Not how long it takes: that it ends at all."""


@pytest.fixture(scope="module", params=[Minio, Versitygw], ids=["minio", "versitygw"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    server = request.param(tmp_path_factory.mktemp("objects"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def bucket(server: Server) -> str:
    name = f"bucket-{next(BUCKETS)}"
    judge(server.endpoint).create_bucket(Bucket=name)
    return name


@pytest.fixture
async def store(server: Server, bucket: str) -> AsyncIterator[ObjectStore]:
    with opened_bucket(f"s3://{bucket}/some/prefix", server.endpoint, IN_PARTS) as store:
        yield store


class TestContract(ObjectStoreSuite):
    @pytest.fixture(autouse=True)
    def directories_have_names_of_their_own(self, server: Server) -> None:
        # Both keep keys as paths of a file system: `a` and `a/1` exclude each other.
        self.key_below_a_key = False


async def test_boto3_sees_what_was_stored(
    store: ObjectStore, server: Server, bucket: str, tmp_path: Path
) -> None:
    content = os.urandom(12_345_678)
    with slice_of(tmp_path / "log", content, 0, len(content)) as part:
        facts = await store.put(KEY, [b"head", part])
        small = await store.put("small", [b"head"])
    client = judge(server.endpoint)
    path = f"some/prefix/{KEY}"
    head = client.head_object(Bucket=bucket, Key=path, ChecksumMode="ENABLED")
    assert head["ContentLength"] == facts.size_bytes == len(content) + 4
    assert head["ETag"] == facts.etag
    assert head["ETag"].endswith('-3"'), "three parts"
    assert head["ChecksumCRC64NVME"] == checksum_text(crc64nvme(b"head" + content))
    assert head["ChecksumType"] == "FULL_OBJECT"
    assert client.get_object(Bucket=bucket, Key=path)["Body"].read() == b"head" + content
    head = client.head_object(Bucket=bucket, Key="some/prefix/small", ChecksumMode="ENABLED")
    assert head["ChecksumCRC64NVME"] == checksum_text(small.checksum or 0)
    assert [entry["Key"] for entry in client.list_objects_v2(Bucket=bucket)["Contents"]] == [
        path,
        "some/prefix/small",
    ]


async def test_the_minio_client_sees_what_was_stored(
    store: ObjectStore, server: Server, bucket: str
) -> None:
    content = os.urandom(7_000_000)
    facts = await store.put(KEY, [content])
    client = minio.Minio(
        f"127.0.0.1:{server.port}", access_key=KEY_ID, secret_key=SECRET, secure=False
    )
    stat = client.stat_object(bucket, f"some/prefix/{KEY}")
    assert (stat.size, f'"{stat.etag}"') == (len(content), facts.etag)
    answer = client.get_object(bucket, f"some/prefix/{KEY}")
    assert answer.read() == content
    answer.close()
    answer.release_conn()


async def test_the_store_keeps_what_others_put(
    store: ObjectStore, server: Server, bucket: str
) -> None:
    client = judge(server.endpoint)
    client.put_object(Bucket=bucket, Key="some/prefix/by/boto3", Body=b"content")
    facts = await store.head("by/boto3")
    assert facts.size_bytes == 7
    assert abs(facts.modified_ms / 1000 - time.time()) < 60
    assert await whole(store, "by/boto3") == b"content"
    await store.delete("by/boto3")
    with pytest.raises(ClientError):
        client.head_object(Bucket=bucket, Key="some/prefix/by/boto3")


async def test_a_failed_upload_leaves_no_parts(
    store: ObjectStore, server: Server, bucket: str, tmp_path: Path
) -> None:
    size = 30_000_000
    with slice_of(tmp_path / "log", bytes(size - 1000), 0, size) as part:
        with pytest.raises(BodyUnreadableError):
            await store.put(KEY, [part])
        pending = store.put(KEY, [part])
        await asyncio.sleep(0.05)
        pending.cancel()
        with pytest.raises(BodyUnreadableError):
            await pending
    listed = judge(server.endpoint).list_multipart_uploads(
        Bucket=bucket, Prefix=f"some/prefix/{KEY}"
    )
    assert listed.get("Uploads", []) == []


async def test_uploads_that_were_left_are_found_and_removed(
    store: S3Store, server: Server, bucket: str
) -> None:
    client = judge(server.endpoint)
    path = f"some/prefix/{KEY}"
    begun = client.create_multipart_upload(Bucket=bucket, Key=path)
    client.upload_part(
        Bucket=bucket, Key=path, UploadId=begun["UploadId"], PartNumber=1, Body=b"x" * 1000
    )
    found = await store.unfinished(older_than_ms=-60_000)
    if isinstance(server, Minio):
        assert found == [], "MinIO lists no uploads by prefix, and removes them by itself"
        return
    assert [(left.key, left.upload_id) for left in found] == [(KEY, begun["UploadId"])]
    assert await store.unfinished(older_than_ms=3_600_000) == []
    await store.remove_unfinished(found)
    await store.remove_unfinished(found)
    assert await store.unfinished(older_than_ms=-60_000) == []


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"cold.s3.secret.access.key": "wrong"}, "check cold.s3.secret.access.key"),
        ({"cold.s3.access.key.id": "nobody"}, r"check cold.s3.access.key.id"),
    ],
)
async def test_wrong_keys_are_refused_with_the_next_step(
    server: Server, bucket: str, texts: dict[str, str], message: str
) -> None:
    with opened_bucket(f"s3://{bucket}", server.endpoint, texts) as store:
        for attempt in (
            lambda: store.put("x", [b"x"]),
            lambda: store.get_range("x", 0, 1),
            lambda: store.list(""),
            lambda: store.put("x", [b"x"], if_absent=True),
        ):
            with pytest.raises(StoreRefusedError, match=message) as caught:
                await attempt()
            assert SECRET not in str(caught.value)


async def test_a_bucket_that_is_not_there_is_refused(server: Server) -> None:
    with opened_bucket("s3://no-such-bucket/prefix", server.endpoint) as store:
        for attempt in (
            lambda: store.put("x", [b"x"]),
            lambda: store.get_range("x", 0, 1),
            lambda: store.list(""),
            lambda: store.put("x", [b"x"], if_match='"abc"'),
        ):
            with pytest.raises(StoreRefusedError, match=r"make the bucket, or correct cold\.url"):
                await attempt()


def impatient(
    server: Server, bucket: str, timeout_ms: int = 1000
) -> AbstractContextManager[S3Store]:
    """For what is to fail; what is to succeed may take as long as this machine needs."""
    texts = {"cold.request.timeout.ms": str(timeout_ms)}
    return opened_bucket(f"s3://{bucket}/some/prefix", server.endpoint, texts)


async def test_a_store_that_is_down_is_unavailable_until_it_is_back(
    store: ObjectStore, server: Server, bucket: str
) -> None:
    await store.put("before", [b"x"])
    server.kill()
    with impatient(server, bucket) as asking:
        for attempt in (
            lambda: asking.put("x", [b"x"]),
            lambda: asking.get_range("before", 0, 1),
            lambda: asking.head("before"),
            lambda: asking.delete("x"),
            lambda: asking.put("x", [b"x"], if_absent=True),
        ):
            with pytest.raises(StoreUnavailableError):
                await attempt()
    server.start()
    assert await whole(store, "before") == b"x"
    await store.put("x", [b"x"], if_absent=True)


async def test_a_store_that_hangs_is_unavailable_in_bounded_time(
    store: ObjectStore, server: Server, bucket: str
) -> None:
    await store.put("before", [b"x"])
    with impatient(server, bucket) as asking:
        server.pause()
        try:
            outcomes = await asyncio.wait_for(
                asyncio.gather(
                    *(
                        _outcome(operation)
                        for operation in (
                            asking.put("x", [b"x"]),
                            asking.get_range("before", 0, 1),
                            asking.head("before"),
                        )
                    )
                ),
                BOUNDED_S,
            )
        finally:
            server.resume()
    assert all(isinstance(error, StoreUnavailableError) for error in outcomes), outcomes
    assert await whole(store, "before") == b"x"


async def _outcome(pending) -> BaseException | None:
    try:
        await pending
    except Exception as error:
        return error
    return None


async def test_a_write_whose_answer_was_lost_is_found(
    store: ObjectStore, server: Server, bucket: str
) -> None:
    """The store hangs, the request times out, and the store does it when it goes on."""
    first = await store.put("head", [b"one"])
    # Once it goes on, a slow machine has some seconds to answer one of the questions.
    with impatient(server, bucket, timeout_ms=4000) as asking:
        server.pause()
        try:
            swap = asyncio.ensure_future(
                _awaited(asking.put("head", [b"two"], if_match=first.etag))
            )
            # It looks what is there when it has no answer.
            while not asking.counts.heads:
                assert not swap.done(), "nobody could have answered"
                await asyncio.sleep(0.02)
        finally:
            server.resume()
        facts = await swap
    assert await whole(store, "head") == b"two"
    assert (await store.head("head")).etag == facts.etag
    with pytest.raises(PreconditionFailedError):
        await store.put("head", [b"three"], if_match=first.etag)


async def _awaited(pending):
    return await pending


async def test_nothing_of_a_failed_creation_is_left(store: ObjectStore) -> None:
    with pytest.raises(ObjectNotFoundError):
        await store.head("never")


UPLOAD_OF_A_SPARSE_FILE = """
import asyncio, os, re, sys
from tests.object_store_suite import Lease
from tests.s3_server import opened_bucket
from tierbroker.base.parts import FileSlice

def peak():
    # Not ru_maxrss: that counts what the parent had when it forked.
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024

async def main(url, endpoint, path, size):
    with opened_bucket(url, endpoint, {"cold.inflight.max.bytes": str(64 << 20)}) as store:
        await store.put("small", [b"x"])
        before = peak()
        fd = os.open(path, os.O_RDONLY)
        await store.put("large", [FileSlice(fd, 0, size, Lease())])
        print(peak() - before)

asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
"""


def test_a_large_upload_takes_little_memory(server: Server, bucket: str, tmp_path: Path) -> None:
    size = 256 * 1024 * 1024
    with (tmp_path / "log").open("wb") as log:
        log.truncate(size)
    arguments = [f"s3://{bucket}/some/prefix", server.endpoint, str(tmp_path / "log"), str(size)]
    done = subprocess.run(
        [sys.executable, "-c", UPLOAD_OF_A_SPARSE_FILE, *arguments],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    print(f"{size >> 20} MiB uploaded with {done.stdout.strip()} MiB of memory")
    # What may be on its way, and the same again in the buffers of connections.
    assert int(done.stdout) < 96
    head = judge(server.endpoint).head_object(Bucket=bucket, Key="some/prefix/large")
    assert head["ContentLength"] == size
