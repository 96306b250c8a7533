"""The rule for the names that clients introduce themselves with in ApiVersions (KIP-511)."""

import string

_INNER = frozenset(string.ascii_letters + string.digits + "-.")
_OUTER = frozenset(string.ascii_letters + string.digits)


def is_software_name(text: str) -> bool:
    """Letters, digits, dots and dashes, the first and the last a letter or digit.

    From version 3 on, ApiVersions with a client software name or version that breaks the rule is
    answered INVALID_REQUEST; the empty text breaks it too.
    """
    return bool(text) and text[0] in _OUTER and text[-1] in _OUTER and _INNER.issuperset(text)
