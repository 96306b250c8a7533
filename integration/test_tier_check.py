"""`tierbroker tier check` of MinIO and of versitygw: what it says is what they are."""

import itertools
import json
from collections.abc import Iterator

import pytest

from integration.object_stores import Minio, Versitygw
from tests.s3_server import KEY_ID, SECRET, judge
from tierbroker.cli.main import run

BUCKETS = itertools.count()
Server = Minio | Versitygw


@pytest.fixture(scope="module", params=[Minio, Versitygw], ids=["minio", "versitygw"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    server = request.param(tmp_path_factory.mktemp("objects"))
    server.start()
    yield server
    server.stop()


def check(
    capsys: pytest.CaptureFixture[str], server: Server, bucket: str, *settings: str, code: int = 0
) -> dict[str, dict[str, str]]:
    keys = [f"cold.s3.access.key.id={KEY_ID}", f"cold.s3.secret.access.key={SECRET}"]
    sets = [f"cold.s3.endpoint={server.endpoint}", *keys, *settings]
    options = [word for setting in sets for word in ("--set", setting)]
    done = run(["tier", "check", f"s3://{bucket}/some/prefix", "--json", *options])
    shown = capsys.readouterr()
    assert done == code, shown
    return {found["check"]: found for found in map(json.loads, shown.out.splitlines())}


def others(found: dict[str, dict[str, str]]) -> dict[str, str]:
    return {what: line["verdict"] for what, line in found.items() if line["verdict"] != "ok"}


def test_a_new_bucket_is_good(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    bucket = f"bucket-{next(BUCKETS)}"
    client = judge(server.endpoint)
    client.create_bucket(Bucket=bucket)
    found = check(capsys, server, bucket)
    print(json.dumps(found, indent=1))
    if isinstance(server, Minio):
        assert others(found) == {"unfinished uploads": "note"}
        assert "by itself" in found["unfinished uploads"]["follows"]
    else:
        assert others(found) == {"lifecycle": "unknown"}
    assert "Contents" not in client.list_objects_v2(Bucket=bucket)
    assert client.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


def test_a_bucket_that_locks_its_objects(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    if isinstance(server, Versitygw):
        return  # its versions need a directory of their own, without which nothing can be locked
    bucket = f"bucket-{next(BUCKETS)}"
    client = judge(server.endpoint)
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    client.put_object_lock_configuration(
        Bucket=bucket,
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 3}},
        },
    )
    found = check(capsys, server, bucket)
    assert others(found) == {
        "versioning": "note",
        "object lock": "note",
        "unfinished uploads": "note",
    }
    assert "3 days (GOVERNANCE)" in found["object lock"]["found"]


def test_a_rule_that_deletes(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    if isinstance(server, Versitygw):
        return  # it knows no lifecycle rules
    bucket = f"bucket-{next(BUCKETS)}"
    client = judge(server.endpoint)
    client.create_bucket(Bucket=bucket)
    rule = {
        "ID": "tidy",
        "Status": "Enabled",
        "Filter": {"Prefix": "some/"},
        "Expiration": {"Days": 30},
    }
    client.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": [rule]}
    )
    found = check(capsys, server, bucket, code=1)
    assert others(found)["lifecycle"] == "missing"
    assert "'tidy' deletes objects" in found["lifecycle"]["found"]


def test_wrong_keys(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    bucket = f"bucket-{next(BUCKETS)}"
    judge(server.endpoint).create_bucket(Bucket=bucket)
    found = check(capsys, server, bucket, "cold.s3.secret.access.key=wrong", code=1)
    assert list(found) == ["write and read"]
    assert "check cold.s3.secret.access.key" in found["write and read"]["found"]


def test_a_store_that_is_down(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.kill()
    try:
        found = check(capsys, server, "bucket", code=1)
    finally:
        server.start()
    assert list(found) == ["write and read"]
