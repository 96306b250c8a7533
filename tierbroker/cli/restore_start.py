"""The command that starts what a restore made: to be pasted as it is. Pure.

It repeats what the restore was told of the store, but names variables for keys.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from tierbroker.cli.counting import enumerated
from tierbroker.node.repeated_settings import repeated_settings

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
        words, variables = repeated_settings(
            {key: value for key, value in sets.items() if key not in _GIVEN_OTHERWISE}
        )
        text = shlex.join(["tierbroker", "dev", "--data", data, "--cold", url, *words])
        return cls(text, variables)

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
