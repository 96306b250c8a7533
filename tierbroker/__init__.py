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
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("tierbroker")
        except PackageNotFoundError:  # a source tree that is not installed
            return "unknown"
    raise AttributeError(f"module 'tierbroker' has no attribute {name!r}")
