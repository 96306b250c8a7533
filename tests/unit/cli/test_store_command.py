"""Commands for the same store, as they are told to be pasted."""

import shlex

from tierbroker.cli.store_command import store_command


def test_settings_are_repeated_and_keys_are_not() -> None:
    settings = {
        "cold.s3.endpoint": "http://127.0.0.1:9000",
        "cold.s3.secret.access.key": "hidden",
        "cold.s3.profile": "a name",
    }
    told = store_command(settings, "archive", "ls", "s3://bucket/a prefix")
    assert shlex.split(told) == [
        *("tierbroker", "archive", "ls", "s3://bucket/a prefix"),
        *("--set", "cold.s3.endpoint=http://127.0.0.1:9000", "--set", "cold.s3.profile=a name"),
    ]
