"""Settings as a person would give them again to another command, to be pasted as they are; and the
command that restores from a broker's store.

Keys are not repeated: what is pasted ends up in the shell's history, and what runs is shown by
`ps`. They are named as variables of the environment instead.
"""

import shlex
from collections.abc import Mapping
from typing import NamedTuple

from tierbroker.base.config import Scope
from tierbroker.node.settings import ENVIRONMENT_PREFIX, SCHEMA, Settings

_ACCESS_KEY_ID = "cold.s3.access.key.id"
"""No secret, but it goes with one."""


class RepeatedSettings(NamedTuple):
    """What to write, and what to set before."""

    words: tuple[str, ...]
    """`--set KEY=VALUE`, not quoted."""
    variables: tuple[str, ...]
    """Of the environment, which must hold the keys."""


def repeated_settings(texts: Mapping[str, str]) -> RepeatedSettings:
    """The same settings once more; all of them are known ones."""
    words: list[str] = []
    variables: list[str] = []
    for key, value in texts.items():
        if SCHEMA.find(key, Scope.BROKER).sensitive or key == _ACCESS_KEY_ID:
            variables.append(ENVIRONMENT_PREFIX + key.upper().replace(".", "_"))
        else:
            words += ["--set", f"{key}={value}"]
    return RepeatedSettings(tuple(words), tuple(variables))


def restore_command(settings: Settings, directory: str) -> RepeatedSettings:
    """The words that restore from the store of these settings, reached as they say; not quoted."""
    texts = {k: v for k, v in settings.texts.items() if k.startswith("cold.") and k != "cold.url"}
    words, variables = repeated_settings(texts)
    url = settings.values.text("cold.url") or ""
    command = ("tierbroker", "restore", "--from", url, "--data", directory)
    return RepeatedSettings((*command, *words), variables)


def restore_advice(settings: Settings) -> str:
    """The same for the end of a sentence, with DIR where a directory is to be named."""
    words, variables = restore_command(settings, "DIR")
    keys = f"with the keys in the environment, as {', '.join(variables)}: " if variables else ""
    return keys + shlex.join(words)
