"""Opens the sockets that clients connect to, and says clearly why it could not.

Must never accept a connection itself.
"""

import errno
import os
import socket
from typing import TYPE_CHECKING

from tierbroker.base.errors import ListenError
from tierbroker.server.limits import ListenerConfig, ServerLimits

if TYPE_CHECKING:
    from pathlib import Path

_LISTEN_STATE = "0A"  # TCP_LISTEN in /proc/net/tcp


def open_listener(config: ListenerConfig, limits: ServerLimits) -> socket.socket:
    """A non-blocking listening socket; raises ListenError.

    An empty host takes IPv4 and IPv6 where the machine has both.
    """
    shown = f"{config.host or '*'}:{config.port} (listener {config.name})"
    failure: OSError | None = None
    for family, address in _addresses(config, shown):
        try:
            return _listen(family, address, config, limits)
        except OSError as error:
            failure = failure or error
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                break
    assert failure is not None
    raise ListenError(_explain(config, shown, failure)) from failure


def _addresses(
    config: ListenerConfig, shown: str
) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    if not config.host:
        return [
            (socket.AF_INET6, ("::", config.port)),
            (socket.AF_INET, ("0.0.0.0", config.port)),  # noqa: S104 - what an empty host means
        ]
    try:
        found = socket.getaddrinfo(
            config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        raise ListenError(
            f"Cannot listen on {shown}: the host name cannot be resolved ({error.strerror}). "
            "Use an address of this machine (see `ip addr`), or 127.0.0.1."
        ) from error
    # IPv4 first: "localhost" then means what clients try first.
    found.sort(key=lambda item: item[0] != socket.AF_INET)
    return [(item[0], (str(item[4][0]), int(item[4][1]))) for item in found]


def _listen(
    family: socket.AddressFamily,
    address: tuple[str, int],
    config: ListenerConfig,
    limits: ServerLimits,
) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            only = 0 if not config.host else 1
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        # Accepted sockets inherit all of these; the window is negotiated with them in place.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if limits.socket_receive_buffer_bytes > 0:
            listener.setsockopt(
                socket.SOL_SOCKET, socket.SO_RCVBUF, limits.socket_receive_buffer_bytes
            )
        if limits.socket_send_buffer_bytes > 0:
            listener.setsockopt(
                socket.SOL_SOCKET, socket.SO_SNDBUF, limits.socket_send_buffer_bytes
            )
        listener.bind(address)
        listener.listen(limits.backlog)
    except OSError:
        listener.close()
        raise
    return listener


def _explain(config: ListenerConfig, shown: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        owner = who_listens(config.port)
        who = f"{owner} listens there already" if owner else "another process listens there already"
        return (
            f"Cannot listen on {shown}: {who}. Stop it, or take another port: "
            "`tierbroker dev --port 0` finds a free one."
        )
    if error.errno == errno.EACCES:
        return (
            f"Cannot listen on {shown}: ports below 1024 need the right to bind them. "
            "Take a higher port: `tierbroker dev --port 9092`."
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return (
            f"Cannot listen on {shown}: this machine has no such address. "
            "`ip addr` shows those it has; `tierbroker dev --host 127.0.0.1` always works."
        )
    return f"Cannot listen on {shown}: {error.strerror}. `ip addr` shows this machine's addresses."


def who_listens(port: int) -> str | None:
    """ "process 123 (java)" for the process that listens on the port, where that may be seen."""
    from pathlib import Path  # no start but a failed one pays for it

    inodes = _listening_inodes(port)
    if not inodes:
        return None
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _has_socket(process, inodes):
            try:
                name = (process / "comm").read_text().strip()
            except OSError:  # it ended just now
                continue
            return f"process {process.name} ({name})"
    return None


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table) as file:
                lines = file.read().splitlines()[1:]
        except OSError:  # no IPv6, or no /proc at all
            continue
        for line in lines:
            fields = line.split()
            local, state, inode = fields[1], fields[3], fields[9]
            if state == _LISTEN_STATE and int(local.rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{inode}]")
    return inodes


def _has_socket(process: "Path", inodes: set[str]) -> bool:
    try:
        for number in os.listdir(process / "fd"):
            try:
                if os.readlink(process / "fd" / number) in inodes:
                    return True
            except OSError:  # closed just now
                continue
    except OSError:  # another user's process: not for us to see
        return False
    return False
