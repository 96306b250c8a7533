"""The command that starts what a restore made: to be pasted as it is. Pure.

It repeats what the restore was told of the store. Keys are not repeated: what is pasted ends up in
the shell's history, and what runs is shown by `ps`. They are named as variables instead.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from tierbroker.base.config import Scope
from tierbroker.cli.counting import enumerated
from tierbroker.node.settings import ENVIRONMENT_PREFIX, SCHEMA

_ACCESS_KEY_ID = "cold.s3.access.key.id"
"""No secret, but it goes with one."""
_GIVEN_OTHERWISE = frozenset({"cold.url", "cluster.id"})


@dataclass(frozen=True, slots=True)
class StartCommand:
    """How the restored broker is started."""

    text: str
    """For a shell."""
    variables: tuple[str, ...]
    """Of the environment, which must hold the keys that the restore was given by --set."""

    @classmethod
    def of(cls, url: str, data: str, sets: Mapping[str, str]) -> "StartCommand":
        """After a restore of that store, into that directory, with those settings."""
        words = ["tierbroker", "dev", "--data", data, "--cold", url]
        variables: list[str] = []
        for key, value in sets.items():
            if SCHEMA.find(key, Scope.BROKER).sensitive or key == _ACCESS_KEY_ID:
                variables.append(ENVIRONMENT_PREFIX + key.upper().replace(".", "_"))
            elif key not in _GIVEN_OTHERWISE:
                words += ["--set", f"{key}={value}"]
        return cls(shlex.join(words), tuple(variables))

    @property
    def told(self) -> str:
        """For people."""
        text = f"Start it with: {self.text}"
        if not self.variables:
            return text
        return (
            f"{text}\nBefore that, put into the environment what was given by --set: "
            f"{enumerated(self.variables)}"
        )
