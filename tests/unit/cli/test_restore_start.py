"""The command after a restore: all that the restore was told, and no secret."""

import shlex

from tierbroker.cli.restore_start import StartCommand

URL = "s3://bucket/prefix"


def test_what_the_restore_was_told_is_repeated() -> None:
    sets = {"cold.s3.endpoint": "http://127.0.0.1:9000", "node.id": "7", "cold.url": "x"}
    start = StartCommand.of(URL, "/mnt/a b", sets)
    assert shlex.split(start.text) == [
        *("tierbroker", "dev", "--data", "/mnt/a b", "--cold", URL),
        *("--set", "cold.s3.endpoint=http://127.0.0.1:9000", "--set", "node.id=7"),
    ]
    assert start.variables == ()
    assert start.told == f"Start it with: {start.text}"


def test_keys_are_named_and_not_shown() -> None:
    sets = {
        "cold.s3.access.key.id": "my-id",
        "cold.s3.secret.access.key": "hidden",
        "cold.s3.session.token": "hidden too",
    }
    start = StartCommand.of(URL, "data", sets)
    assert start.text == f"tierbroker dev --data data --cold {URL}"
    assert start.variables == (
        "TIERBROKER_COLD_S3_ACCESS_KEY_ID",
        "TIERBROKER_COLD_S3_SECRET_ACCESS_KEY",
        "TIERBROKER_COLD_S3_SESSION_TOKEN",
    )
    assert "my-id" not in start.told
    assert "hidden" not in start.told
    assert start.told.endswith(
        "TIERBROKER_COLD_S3_ACCESS_KEY_ID, TIERBROKER_COLD_S3_SECRET_ACCESS_KEY and "
        "TIERBROKER_COLD_S3_SESSION_TOKEN"
    )
