"""Apache Kafka itself as a process: the judge of the tests, and the other side of comparisons.

A single node, broker and controller in one, formatted and started from the jars that
`make integration` fetches; no installation, no shell script of the distribution.
"""

import signal
import socket
from collections.abc import Mapping
from pathlib import Path

from integration.broker_processes import Process, free_port, wait_until
from integration.java_tools import java_command, run_java

CLUSTER_ID = "aW50ZWdyYXRpb24tdGVzdA"
START_TIMEOUT_S = 180.0

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
log.dirs={data_dir}
num.partitions=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
"""


class ApacheKafka:
    """One node of Apache Kafka with its data in a directory of its own."""

    def __init__(
        self,
        directory: Path,
        settings: Mapping[str, str] | None = None,
        heap_mb: int = 1024,
        port: int | None = None,
    ) -> None:
        self.data_dir = directory / "data"
        self.port = port or free_port()
        self._controller_port = free_port()
        self._directory = directory
        self._settings = dict(settings or {})
        self._heap_mb = heap_mb
        self._process = Process(directory / "broker.log")

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.running

    @property
    def properties_file(self) -> Path:
        """The server.properties that the node is started with."""
        return self._directory / "server.properties"

    def configure(self) -> None:
        """Write server.properties."""
        text = _PROPERTIES.format(
            port=self.port, controller_port=self._controller_port, data_dir=self.data_dir
        )
        text += "".join(f"{key}={value}\n" for key, value in self._settings.items())
        self.properties_file.write_text(text)

    def format(self) -> None:
        """Write the configuration and format the data directory for a cluster of one."""
        self.configure()
        run_java(
            "kafka.tools.StorageTool",
            *("format", "--standalone", "-t", CLUSTER_ID, "-c", str(self.properties_file)),
        )

    def start(self) -> None:
        """Return once the node takes connections. A directory that somebody filled is kept."""
        if not any(self.data_dir.rglob("meta.properties")):
            self.format()
        elif not self.properties_file.exists():
            self.configure()
        said_before = self.log_text().count("Kafka Server started")
        self._process.launch(
            java_command(
                "kafka.Kafka", str(self.properties_file), heap_mb=self._heap_mb, log="warn"
            )
        )
        wait_until(
            lambda: self.log_text().count("Kafka Server started") > said_before,
            "'Kafka Server started'",
            START_TIMEOUT_S,
            self._process,
        )
        with socket.create_connection(("127.0.0.1", self.port), timeout=30):
            pass

    def stop(self) -> None:
        code = self._process.end(signal.SIGTERM, timeout_s=120)
        assert code in (0, 143, -signal.SIGTERM), f"exit {code}\n{self.log_text()[-6000:]}"

    def kill(self) -> None:
        self._process.end(signal.SIGKILL)

    def log_text(self) -> str:
        return self._process.log_text()
