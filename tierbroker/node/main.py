"""Runs one node as a process: loop, signals, exit code."""

import asyncio
import gc
import logging
import os
import signal
import time
from collections.abc import Callable

import uvloop

from tierbroker.node.empty_disk import refuse_lost_cluster
from tierbroker.node.loading import Progress
from tierbroker.node.node import Node
from tierbroker.node.settings import Settings

logger = logging.getLogger(__name__)

_GC_THRESHOLD = 50_000


def run(
    settings: Settings, on_ready: Callable[[Node], None], on_progress: Progress | None = None
) -> int:
    """Run a node until a signal or a failure ends it; returns the exit code of the process.

    SIGTERM and SIGINT stop it in order; a second one ends the process at once. Raises
    DataDirError, InvalidConfigError or ListenError when the node cannot start.
    """
    return uvloop.run(_run(settings, on_ready, on_progress))


async def _run(
    settings: Settings, on_ready: Callable[[Node], None], on_progress: Progress | None
) -> int:
    await refuse_lost_cluster(settings)
    node = Node(settings)
    if on_progress is not None:
        node.on_progress = on_progress
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(node.on_loop_error)
    stop_asked = asyncio.Event()

    def on_signal() -> None:
        stop_asked.set()
        node.hurry_start()
        # Whoever asks again does not want to wait: the default action takes over.
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    await node.start()
    node.ready_ms = process_age_ms()
    _settle_garbage_collector()
    if not stop_asked.is_set():
        on_ready(node)
    waiting = loop.create_task(stop_asked.wait())
    failed = loop.create_task(node.wait_stopped())
    await asyncio.wait((waiting, failed), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    failed.cancel()
    await node.stop()
    return 0 if node.failure is None else 1


def process_age_ms() -> int:
    """Milliseconds since this process was started, as the kernel counts (10 ms steps)."""
    with open("/proc/self/stat", "rb") as file:
        start_ticks = int(file.read().rpartition(b")")[2].split()[19])
    started_s = start_ticks / os.sysconf("SC_CLK_TCK")
    return max(0, int((time.clock_gettime(time.CLOCK_BOOTTIME) - started_s) * 1000))


def _settle_garbage_collector() -> None:
    """What is loaded now lives as long as the process: keep it out of every later collection.

    It is not collected before: that takes a tenth of the start and finds nothing worth a page.
    """
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, 20, 50)
