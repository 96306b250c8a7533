"""Which errors say that the disk has lost what was written, whoever meets them."""

import errno

_UNREADABLE = frozenset((errno.EIO, errno.EBADMSG, errno.EUCLEAN))
"""A failed sector; a checksum of the file system that does not match; its structures broken."""


def is_unreadable(error: OSError) -> bool:
    """Whether these bytes cannot be read, though others may be."""
    return error.errno in _UNREADABLE
