"""File descriptors are a limit of the whole process: sockets must leave some for the logs."""

import os
import resource


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard one; returns what holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def descriptors_left(limit: int, any_open: int) -> int:
    """About how many more can be opened, by the number that a new one gets.

    A new descriptor takes the lowest free number, so at least that many are in use below it.
    `any_open` is a descriptor that is open. 0 when there is none left at all.
    """
    try:
        lowest = os.dup(any_open)
    except OSError:
        return 0
    os.close(lowest)
    return limit - lowest
