"""How Kafka's names become names of ours: snake case, module names, struct formats."""

from __future__ import annotations

import keyword
import re

# Spellings that a plain rule would tear apart.
_WHOLE_WORDS = (("KRaft", "Kraft"), ("2Pc", "_2pc"))
_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def snake_case(name: str) -> str:
    """``TopicId`` -> ``topic_id``; a Python keyword gets a trailing underscore."""
    for word, replacement in _WHOLE_WORDS:
        name = name.replace(word, replacement)
    text = _BOUNDARY.sub("_", name).lower().replace("__", "_")
    return f"{text}_" if keyword.iskeyword(text) else text


def format_name(prefix: str, codes: str) -> str:
    """The name of the module constant for a run of format codes (``u`` is a uuid)."""
    return f"_{prefix}_{codes.replace('?', 'o')}"


def struct_format(codes: str) -> str:
    """The big-endian ``struct`` format of a run of codes."""
    return ">" + codes.replace("u", "16s")
