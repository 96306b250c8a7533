"""The proxy itself: each fault is what it says, as a stock client of S3 sees it."""

from collections.abc import Iterator
from dataclasses import replace

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from integration.object_stores import Minio
from integration.store_proxy import Fault, Plan, Request, StoreProxy
from tests.s3_server import KEY_ID, SECRET, judge

Key = {"Bucket": "bucket", "Key": "a/b.seg"}


@pytest.fixture(scope="module")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Minio]:
    server = Minio(tmp_path_factory.mktemp("objects"))
    server.start()
    judge(server.endpoint).create_bucket(Bucket="bucket")
    yield server
    server.stop()


@pytest.fixture
def proxy(minio: Minio) -> Iterator[StoreProxy]:
    proxy = StoreProxy(minio.port)
    proxy.start()
    yield proxy
    proxy.stop()


@pytest.fixture
def client(proxy: StoreProxy):
    return boto3.client(
        "s3",
        endpoint_url=proxy.endpoint,
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
        # Each request once. No short timeout: what fails here fails by a connection that ends.
        config=Config(retries={"total_max_attempts": 1}),
    )


def on(method: str, fault: Fault) -> Plan:
    def plan(request: Request) -> Fault | None:
        return fault if request.method == method else None

    return plan


def test_without_a_plan_all_goes_through(proxy: StoreProxy, client) -> None:
    content = bytes(range(256)) * 10_000
    client.put_object(**Key, Body=content)
    assert client.get_object(**Key)["Body"].read() == content
    assert client.head_object(**Key)["ContentLength"] == len(content)
    assert [found["Key"] for found in client.list_objects_v2(Bucket="bucket")["Contents"]] == [
        "a/b.seg"
    ]
    client.delete_object(**Key)
    assert proxy.injected == 0


def test_an_error_is_answered_and_the_store_hears_nothing(proxy: StoreProxy, client) -> None:
    client.put_object(**Key, Body=b"one")
    proxy.plan = on("PUT", Fault(answer=(503, "SlowDown")))
    with pytest.raises(ClientError, match="SlowDown"):
        client.put_object(**Key, Body=b"two")
    assert client.get_object(**Key)["Body"].read() == b"one"
    assert proxy.injected == 1


@pytest.mark.parametrize("fault", [Fault(silent=True), Fault(hang_s=2)])
def test_the_store_has_done_what_nobody_hears_of(proxy: StoreProxy, client, fault: Fault) -> None:
    proxy.plan = on("PUT", fault)
    with pytest.raises(BotoCoreError):
        client.put_object(**Key, Body=b"done")
    assert client.get_object(**Key)["Body"].read() == b"done"


def test_a_torn_upload_is_none(proxy: StoreProxy, client) -> None:
    client.put_object(**Key, Body=b"one")
    proxy.plan = on("PUT", Fault(torn=True))
    with pytest.raises(BotoCoreError):
        client.put_object(**Key, Body=b"two" * 100_000)
    proxy.plan = None
    assert client.get_object(**Key)["Body"].read() == b"one"


def test_a_late_write_arrives_when_it_is_told_to(proxy: StoreProxy, client) -> None:
    proxy.plan = on("PUT", Fault(late=True))
    with pytest.raises(BotoCoreError):
        client.put_object(**Key, Body=b"late")
    proxy.plan = None
    client.put_object(**Key, Body=b"early")
    assert proxy.replay() == [200]
    assert client.get_object(**Key)["Body"].read() == b"late"


def test_a_condition_is_ignored(proxy: StoreProxy, client) -> None:
    client.put_object(**Key, Body=b"one")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        client.put_object(**Key, Body=b"two", IfNoneMatch="*")
    proxy.plan = on("PUT", Fault(unconditional=True))
    client.put_object(**Key, Body=b"two", IfNoneMatch="*")
    assert client.get_object(**Key)["Body"].read() == b"two"


def test_answers_are_wrong_cut_missing_or_stale(proxy: StoreProxy, client) -> None:
    client.put_object(**Key, Body=b"0123456789", ChecksumAlgorithm="CRC64NVME")
    get = replace(Fault(), flip=13)
    proxy.plan = on("GET", get)
    assert client.get_object(**Key, Range="bytes=0-9")["Body"].read() == b"012s456789"
    proxy.plan = on("GET", Fault(cut=True))
    with pytest.raises(BotoCoreError):
        client.get_object(**Key)["Body"].read()
    proxy.plan = on("GET", Fault(answer=(404, "NoSuchKey")))
    with pytest.raises(ClientError, match="NoSuchKey"):
        client.get_object(**Key)
    proxy.plan = None
    head = {"Bucket": "bucket", "Key": "a/head"}
    for content in (b"one", b"two"):
        client.put_object(**head, Body=content)
        assert client.get_object(**head)["Body"].read() == content
    proxy.plan = on("GET", Fault(stale=True))
    assert client.get_object(**head)["Body"].read() == b"one"
