"""Another command for the store that this one was told of: to be pasted as it is. Pure."""

import shlex
from collections.abc import Mapping

from tierbroker.node.repeated_settings import repeated_settings


def store_command(settings: Mapping[str, str], *words: str) -> str:
    """`tierbroker` with these words and settings, for a shell. Keys are not repeated: who gave them
    by --set gives them again."""
    return shlex.join(["tierbroker", *words, *repeated_settings(settings).words])
