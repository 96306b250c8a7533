"""Settings as a person would give them again to another command, to be pasted as they are.

Keys are not repeated: what is pasted ends up in the shell's history, and what runs is shown by
`ps`. They are named as variables of the environment instead.
"""

from collections.abc import Mapping
from typing import NamedTuple

from tierbroker.base.config import Scope
from tierbroker.node.settings import ENVIRONMENT_PREFIX, SCHEMA

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
