"""A start that fails leaves nothing behind: no lock, no descriptor, no thread."""

import os
import socket
import threading
from pathlib import Path

import pytest

from tierbroker.base.errors import ListenError
from tierbroker.node.node import Node
from tierbroker.node.settings import Settings


def node_at(data: Path, port: int) -> Node:
    flags = {"log.dirs": str(data), "listeners": f"PLAINTEXT://127.0.0.1:{port}"}
    return Node(Settings.load(flags))


def open_files_below(directory: Path) -> list[str]:
    links = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{fd}"))
        except OSError:  # the descriptor of the listing itself
            continue
    return [link for link in links if link.startswith(str(directory))]


async def test_a_taken_port_gives_everything_back(tmp_path: Path) -> None:
    threads = threading.active_count()
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ListenError, match="listens there already"),
    ):
        await node_at(tmp_path, taken.getsockname()[1]).start()
    assert open_files_below(tmp_path) == []
    assert threading.active_count() <= threads
    # The directory is free again, and what the failed start wrote is no hindrance.
    node = node_at(tmp_path, 0)
    await node.start()
    await node.stop()
    assert open_files_below(tmp_path) == []
