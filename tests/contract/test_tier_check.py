"""`tierbroker tier check` of stores that need no other server."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.s3_server import KEY_ID, SECRET, judge, moto_server
from tierbroker.cli.main import run

Found = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with moto_server() as endpoint:
        yield endpoint


def check(capsys: pytest.CaptureFixture[str], url: str, *options: str, code: int = 0) -> Found:
    assert run(["tier", "check", url, "--json", *options]) == code, capsys.readouterr()
    lines = capsys.readouterr().out.splitlines()
    return {found["check"]: found for found in map(json.loads, lines)}


def bucket_options(endpoint: str, *settings: str) -> list[str]:
    keys = [f"cold.s3.access.key.id={KEY_ID}", f"cold.s3.secret.access.key={SECRET}"]
    sets = [f"cold.s3.endpoint={endpoint}", *keys, *settings]
    return [word for setting in sets for word in ("--set", setting)]


def test_a_bucket(endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    client = judge(endpoint)
    client.create_bucket(Bucket="plain")
    found = check(capsys, "s3://plain/some/prefix", *bucket_options(endpoint))
    others = [what for what, line in found.items() if line["verdict"] != "ok"]
    assert others == ["full-object checksum"], "moto keeps none of what came in parts"
    assert len(found) == 16
    assert "Contents" not in client.list_objects_v2(Bucket="plain")
    assert "Uploads" not in client.list_multipart_uploads(Bucket="plain")


def test_a_bucket_with_a_will_of_its_own(endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    client = judge(endpoint)
    client.create_bucket(Bucket="stubborn", ObjectLockEnabledForBucket=True)
    rules = [
        {
            "ID": "archive",
            "Status": "Enabled",
            "Filter": {"Prefix": "some/"},
            "Transitions": [{"Days": 30, "StorageClass": "DEEP_ARCHIVE"}],
        }
    ]
    client.put_bucket_lifecycle_configuration(
        Bucket="stubborn", LifecycleConfiguration={"Rules": rules}
    )
    found = check(capsys, "s3://stubborn/some/prefix", *bucket_options(endpoint), code=1)
    verdicts = {what: line["verdict"] for what, line in found.items() if line["verdict"] != "ok"}
    assert verdicts == {
        "full-object checksum": "note",
        "lifecycle": "missing",
        "versioning": "note",
    }
    assert found["object lock"]["found"].startswith("possible")
    assert "'archive' moves objects to DEEP_ARCHIVE" in found["lifecycle"]["found"]


def test_settings_reach_the_bucket(endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    judge(endpoint).create_bucket(Bucket="classes")
    options = bucket_options(
        endpoint, "cold.s3.storage.class=GLACIER", "cold.s3.server.side.encryption=AES256"
    )
    found = check(capsys, "s3://classes", *options, code=1)
    assert found["storage class"]["verdict"] == "missing"
    assert found["storage class"]["found"] == "GLACIER"
    assert found["encryption"] == {
        "check": "encryption",
        "verdict": "ok",
        "found": "AES256",
        "follows": "",
    }


def test_keys_may_come_from_a_profile(
    endpoint: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judge(endpoint).create_bucket(Bucket="profiled")
    shared = tmp_path / "credentials"
    shared.write_text(f"[work]\naws_access_key_id={KEY_ID}\naws_secret_access_key={SECRET}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    found = check(capsys, "s3://profiled", "--set", "cold.s3.profile=work")
    assert found["write and read"]["verdict"] == "ok"


def test_a_bucket_that_is_not_there(endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = check(capsys, "s3://nowhere", *bucket_options(endpoint), code=1)
    assert list(found) == ["write and read"]
    assert "make the bucket" in found["write and read"]["found"]


@pytest.mark.parametrize("deep", ["", "not/made/yet"])
def test_a_directory_is_left_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], deep: str
) -> None:
    root = tmp_path / "cold"
    root.mkdir()
    found = check(capsys, f"file://{root}/{deep}".rstrip("/"), "--data", str(tmp_path / "data"))
    assert found["disk"]["verdict"] == "note"
    assert os.listdir(root) == []


def test_a_directory_that_is_in_use_keeps_what_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "some-object").write_bytes(b"x")
    check(capsys, f"file://{tmp_path}")
    assert sorted(os.listdir(tmp_path)) == [".incoming", ".lock", "some-object"]


def test_a_directory_that_cannot_be_made(capsys: pytest.CaptureFixture[str]) -> None:
    found = check(capsys, "file:///proc/cold", code=1)
    assert found["write and read"]["verdict"] == "missing"


def test_memory_is_noted(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(capsys, "memory://")["place"]["verdict"] == "note"


@pytest.mark.parametrize("url", ["ftp://x", "s3://", "file://relative"])
def test_what_is_no_address_is_an_error(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tier", "check", url]) == 1
    assert "cold.url" in capsys.readouterr().err


def test_the_conclusion_is_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tier", "check", f"file://{tmp_path}/cold"]) == 0
    shown = capsys.readouterr()
    assert "is good for the cold tier" in shown.err
    assert "To be known: full-object checksum, disk" in shown.err
