"""Stands in for `test/service.py` of kafka-python, which its source distribution leaves out.

The suite's fixtures ask it for the process of the broker under test. Here that broker is somebody
else's: it runs already, and none of these tests may start, stop or look into it.
"""


class ExternalService:
    """A broker that runs already at an address."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port

    def start(self) -> None:
        """It runs."""

    def stop(self) -> None:
        """It goes on running."""

    def dump_logs(self) -> None:
        """Its log is shown by who started it."""


class SpawnedService:
    """A broker that a test starts for itself from a distribution of Apache Kafka: not here."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        raise RuntimeError("tests that start a broker of their own cannot run here")
