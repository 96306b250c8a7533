"""What it costs to keep ten thousand connections on which nothing happens."""

import subprocess
import sys
import time
from collections.abc import Mapping

from bench.process_cost import cpu_seconds, resident_mb
from bench.row import Bound, Figure
from bench.system import Durability, System

CONNECTIONS = 10_000
SETTLE_S = 1.0
WATCH_S = 3.0


class IdleConnections:
    """Memory of the broker that 10,000 connections add, each of which asked one question.

    Resource: memory. Physical limit: the kernel's sockets, which no process is charged for; in
    the process a descriptor's number. A raw client: a library opens one connection a broker.
    """

    name = "connections"
    title = "10,000 idle connections"
    figures = (
        Figure("memory that they add", "MB", budget=Bound(50.0)),
        Figure("CPU while they are idle", "% of a core"),
        Figure("opened and answered", "connections/s"),
    )
    repetitions = 1
    durability = None

    def prepare(self, system: System) -> None:
        """Every repetition starts a broker of its own."""

    def measure(self, system: System) -> Mapping[str, float]:
        system.start(Durability.REPLICATED)
        try:
            time.sleep(SETTLE_S)
            before = resident_mb(system.pid)
            with subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "bench.idle_connections",
                    system.bootstrap,
                    f"{CONNECTIONS}",
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            ) as client:
                assert client.stdout is not None
                opened_s = float(client.stdout.readline())
                time.sleep(SETTLE_S)
                added = resident_mb(system.pid) - before
                cpu = cpu_seconds(system.pid)
                time.sleep(WATCH_S)
                cpu = cpu_seconds(system.pid) - cpu
        finally:
            system.stop()
        return {
            "memory that they add": added,
            "CPU while they are idle": cpu / WATCH_S * 100,
            "opened and answered": CONNECTIONS / opened_s,
        }

    def floor(self) -> Mapping[str, float]:
        return {}
