"""tierbroker: a Kafka-compatible broker.

`tierbroker.Broker` embeds one in a program or a test. Importing the package loads nothing else:
the command line and the pytest plugin pay only for what they use.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tierbroker.testing.embedded import Broker

    __version__: str

__all__ = ["Broker", "__version__"]


def __getattr__(name: str) -> object:
    if name == "Broker":
        from tierbroker.testing.embedded import Broker

        return Broker
    if name == "__version__":
        return _installed_version()
    raise AttributeError(f"module 'tierbroker' has no attribute {name!r}")


def _installed_version() -> str:
    """Read off the name of the directory that pip made for the package's metadata. All of
    importlib.metadata is asked only where there is none: it takes 14 ms to import."""
    import os
    import sys

    start, end = "tierbroker-", ".dist-info"
    for path in sys.path:
        try:
            names = os.listdir(path or os.curdir)
        except OSError:
            continue  # an archive, or nothing
        for name in names:
            if name.startswith(start) and name.endswith(end):
                return name[len(start) : -len(end)]
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("tierbroker")
    except PackageNotFoundError:  # a source tree that is not installed
        return "unknown"
