"""Apache Kafka as the other side of the race.

Format, configuration and jars are those of the integration tests. The JVM is not: there it is set
up to start fast, here with the options of the start script that Kafka is distributed with, so that
it compiles its hot code as far as it can. It logs warnings only, which spares it work.
"""

import shutil
import signal
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bench.system import Durability, new_directory, remove_later
from integration import java_tools
from integration.apache_kafka import START_TIMEOUT_S, ApacheKafka
from integration.broker_processes import Process, wait_until

if TYPE_CHECKING:
    from pathlib import Path

VERSION = "4.3.0"
STOP_TIMEOUT_S = 120.0
JVM_OPTIONS = (
    *("-Xmx1G", "-Xms1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"),
    *("-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent"),
    *("-XX:MaxInlineLevel=15", "-Djava.awt.headless=true"),
)
READY = "Kafka Server started"
FLUSH_EVERY_BATCH = {"log.flush.interval.messages": "1"}


class KafkaSystem:
    """One node, broker and controller in one process, with the defaults of the distribution but
    for the replication factors that a single node forces."""

    def __init__(self) -> None:
        self.name = f"Kafka {VERSION}"
        self._directory: Path | None = None
        self._kafka: ApacheKafka | None = None
        self._process: Process | None = None
        self.bootstrap = ""
        self.pid = -1

    @property
    def data_dir(self) -> "Path":
        """Where its logs are, once it was started."""
        assert self._kafka is not None
        return self._kafka.data_dir

    def start(self, durability: Durability) -> None:
        """Format, start and wait until it says that it has started."""
        self._format(FLUSH_EVERY_BATCH if durability is Durability.FSYNC else {}, None)
        self._launch()
        self._wait_started(1)

    def prepare(self, port: int) -> None:
        """Format the directory, as Kafka demands."""
        self._format({}, port)

    def spawn(self) -> None:
        """Start and do not wait."""
        self._launch()

    def restart(self) -> tuple[float, float]:
        """SIGTERM, which makes it shut down in order, and start again."""
        assert self._process is not None
        said = self._process.log_text().count(READY)
        started = time.perf_counter()
        self._process.end(signal.SIGTERM, STOP_TIMEOUT_S)
        ended = time.perf_counter()
        self._launch()
        self._wait_started(said + 1)
        return ended - started, time.perf_counter() - ended

    def stop(self) -> None:
        """Kill it: an orderly end takes seconds, and its data is not needed any more."""
        if self._process is not None and self._process.running:
            self._process.end(signal.SIGKILL)
        self._process = None
        if self._directory is not None:
            remove_later(self._directory)
            self._directory = None

    def _format(self, settings: Mapping[str, str], port: int | None) -> None:
        self._directory = new_directory()
        self._kafka = ApacheKafka(self._directory, settings)
        if port is not None:
            self._kafka.port = port
        self._kafka.format()
        self._process = Process(self._directory / "log")
        self.bootstrap = self._kafka.bootstrap

    def _launch(self) -> None:
        assert self._kafka is not None
        assert self._process is not None
        logging = java_tools.HERE / "java" / "log4j2.properties"
        self._process.launch(
            [
                *("java", *JVM_OPTIONS, f"-Dlog4j2.configurationFile={logging}"),
                *("-Dintegration.log.level=warn", "-cp", f"{java_tools.JARS}/*"),
                *("kafka.Kafka", str(self._kafka.properties_file)),
            ]
        )
        self.pid = self._process.pid

    def _wait_started(self, times: int) -> None:
        process = self._process
        assert process is not None
        wait_until(
            lambda: process.log_text().count(READY) >= times,
            f"{READY!r}",
            START_TIMEOUT_S,
            process,
        )


def is_installed() -> bool:
    """Whether the jars are here and a JVM is on the path."""
    return (java_tools.JARS / f"kafka_2.13-{VERSION}.jar").exists() and bool(shutil.which("java"))
