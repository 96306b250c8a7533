"""Row 6: from the command to the first acknowledged record."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping

from bench import floor
from bench.process_cost import cpu_seconds
from bench.row import Bound, Figure
from bench.system import System, Tierbroker, installed_environment
from bench.wire_client import WireClient, first_acknowledgement, produce_request
from integration.broker_processes import free_port

TOPIC = "first"
START_TIMEOUT_S = 60.0


class StartToFirstAck:
    """Row 6: the installed command on an empty directory; the topic makes itself.

    Resource: one core, spent in the interpreter's start and in imports. Physical limit: an
    interpreter that imports an event loop. What Kafka needs before its first start, formatting
    the directory with a JVM of its own, is not counted.

    A raw client, because the time to start a client library would be counted otherwise.
    """

    name = "6"
    title = "start to the first acknowledgement"
    figures = (
        Figure("process", "s", budget=Bound(0.35)),
        Figure("process, CPU until then", "s"),
    )
    repetitions = 5
    durability = None

    def prepare(self, system: System) -> None:
        """One whole run: the caches of compiled modules are written, files are in memory."""
        self.measure(system)

    def measure(self, system: System) -> Mapping[str, float]:
        request = produce_request(TOPIC, b"\x42" * 100)
        system.prepare(free_port())
        started = time.perf_counter()
        system.spawn()
        try:
            client = connect_when_ready(system.bootstrap)
            first_acknowledgement(client, TOPIC, request)
            seconds = time.perf_counter() - started
            cpu = cpu_seconds(system.pid)
            client.close()
        finally:
            system.stop()
        return {"process": seconds, "process, CPU until then": cpu}

    def floor(self) -> Mapping[str, float]:
        return {"process": floor.bare_start()}


class EmbeddedStart:
    """Row 6, second half: `tierbroker.Broker` in the process of a test, client included.

    Resource and limit as above; the first broker of a process also pays for the imports. Kafka
    cannot run there.
    """

    name = "6"
    title = "start to the first acknowledgement, in process"
    figures = (
        Figure("broker", "s", budget=Bound(0.05)),
        Figure("first broker, with its imports", "s"),
    )
    repetitions = 5
    durability = None

    def prepare(self, system: System) -> None:
        """Write the caches of compiled modules."""
        self.measure(system)

    def measure(self, system: System) -> Mapping[str, float]:
        if not isinstance(system, Tierbroker):
            return {}
        command = [sys.executable, "-m", "bench.embedded_start"]
        environment = installed_environment()
        output = subprocess.run(
            command, check=True, capture_output=True, timeout=60, env=environment
        ).stdout
        return {str(name): float(value) for name, value in json.loads(output).items()}

    def floor(self) -> Mapping[str, float]:
        return {}


def connect_when_ready(bootstrap: str) -> WireClient:
    """Try until somebody listens."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            return WireClient(bootstrap)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.002)
