"""How much memory this process may use, as the machine or its control group says."""

import os

_CGROUP_FILES = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)


def memory_limit_bytes() -> int:
    """The smaller of physical memory and the limit of the control group."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for path in _CGROUP_FILES:
        try:
            with open(path) as file:
                text = file.read().strip()
        except OSError:  # not this version of control groups
            continue
        if text.isdigit():
            return min(physical, int(text))
    return physical
