"""What an error of the file system says about the disk.

A full disk or a process out of descriptors or memory refuses one operation; it says nothing about
what is stored. Only the rest takes a log directory offline.
"""

import errno

_NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT))
_PROCESS_LIMITS = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM))


def is_full(error: OSError) -> bool:
    """Whether the disk is merely full."""
    return error.errno in _NO_ROOM


def hits_process_limit(error: OSError) -> bool:
    """Whether the process ran out of descriptors or memory."""
    return error.errno in _PROCESS_LIMITS


def is_disk_failure(error: OSError) -> bool:
    """Whether the disk cannot be trusted any more."""
    return not is_full(error) and not hits_process_limit(error)
