"""CRC-32C (Castagnoli), the checksum of batches and producer snapshots.

The work is the `crc32c` package's. Its C extension is loaded without the package around it, which
would import importlib.metadata, argparse and email: 25 ms of a start that has 350, instead of 1.
"""

import sys
from collections.abc import Callable
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import cast

Crc32c = Callable[..., int]


def _load() -> Crc32c:
    """The extension's function; the package's own import wherever the extension is not found."""
    package = None if "crc32c" in sys.modules else find_spec("crc32c")
    if package is not None:
        spec = PathFinder.find_spec("crc32c._crc32c", package.submodule_search_locations)
        if spec is not None and spec.loader is not None:
            extension = module_from_spec(spec)
            spec.loader.exec_module(extension)
            return cast("Crc32c", extension.crc32c)
    from crc32c import crc32c as from_package

    return from_package


# crc32c(data, value=0): `value` is the checksum of what comes before `data`.
crc32c: Crc32c = _load()
