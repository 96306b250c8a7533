"""Commands that are told to a person work when they are pasted."""

import shlex

from tierbroker.node.repeated_settings import restore_advice
from tierbroker.node.settings import Settings


def test_the_command_that_restores_reaches_the_store_as_the_broker_does() -> None:
    flags = {
        "log.dirs": "/data",
        "cold.url": "s3://bucket/a prefix",
        "cold.s3.endpoint": "http://127.0.0.1:9000",
        "cold.s3.allow.http": "true",
        "cold.s3.secret.access.key": "hidden",
    }
    env = {"TIERBROKER_COLD_S3_ACCESS_KEY_ID": "me"}
    told = restore_advice(Settings.load(flags, env))
    keys, _, command = told.partition(": ")
    assert shlex.split(command) == [
        *("tierbroker", "restore", "--from", "s3://bucket/a prefix", "--data", "DIR"),
        *("--set", "cold.s3.endpoint=http://127.0.0.1:9000", "--set", "cold.s3.allow.http=true"),
    ]
    assert "TIERBROKER_COLD_S3_ACCESS_KEY_ID, TIERBROKER_COLD_S3_SECRET_ACCESS_KEY" in keys
    assert "hidden" not in told


def test_without_keys_it_is_the_command_alone() -> None:
    told = restore_advice(Settings.load({"cold.url": "file:///cold"}))
    assert told == "tierbroker restore --from file:///cold --data DIR"
