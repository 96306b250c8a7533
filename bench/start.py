"""Row 6: from the command to the first acknowledged record."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Mapping

from bench.process_cost import cpu_seconds
from bench.row import Figure
from bench.system import System, installed_environment
from bench.wire_client import WireClient, create_by_metadata, produce_request, produced_offset

TOPIC = "first"
START_TIMEOUT_S = 60.0


class StartToFirstAck:
    """Row 6: the installed command on an empty directory; the topic makes itself.

    Resource: one core, spent in the interpreter's start and in imports. Physical limit: an
    interpreter that imports nothing, 15 ms, and with the loop and sockets 70 ms.
    """

    number = 6
    title = "start to the first acknowledgement"
    figures = (
        Figure("process", "s", 0.35),
        Figure("process, CPU until then", "s"),
    )
    repetitions = 11
    durability = None

    def prepare(self, system: System) -> None:
        """Write the caches of compiled modules, load the client's."""
        self.measure(system)

    def measure(self, system: System) -> Mapping[str, float]:
        request = produce_request(TOPIC, b"\x42" * 100)
        port = free_port()
        started = time.perf_counter()
        system.spawn(port)
        try:
            client = connect_when_ready(system.bootstrap)
            create_by_metadata(client, TOPIC)
            produced_offset(client.call(request))
            seconds = time.perf_counter() - started
            cpu = cpu_seconds(system.pid)
            client.close()
        finally:
            system.stop()
        return {"process": seconds, "process, CPU until then": cpu}


class EmbeddedStart:
    """Row 6, second half: `tierbroker.Broker` in the process of a test, client included.

    Resource and limit as above; the first broker of a process also pays for the imports.
    """

    number = 6
    title = "start to the first acknowledgement, in process"
    figures = (Figure("broker", "s", 0.05), Figure("first broker, with its imports", "s"))
    repetitions = 7
    durability = None

    def prepare(self, system: System) -> None:
        """Write the caches of compiled modules."""
        self.measure(system)

    def measure(self, system: System) -> Mapping[str, float]:
        command = [sys.executable, "-m", "bench.embedded_start"]
        environment = installed_environment()
        output = subprocess.run(
            command, check=True, capture_output=True, timeout=60, env=environment
        ).stdout
        return {str(name): float(value) for name, value in json.loads(output).items()}


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


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
