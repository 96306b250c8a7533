import errno
import socket

import pytest

from tierbroker.server.acceptor import is_loopback, take_unpaced


class OptionRecorder:
    """Takes socket options, or refuses them as a sandbox does."""

    def __init__(self, error: OSError | None = None) -> None:
        self.options: list[tuple[int, int, bytes]] = []
        self._error = error

    def setsockopt(self, level: int, name: int, value: bytes) -> None:
        if self._error is not None:
            raise self._error
        self.options.append((level, name, value))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("fe80::1", False),
    ],
)
def test_loopback_is_known_by_its_address(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_unpaced_is_a_congestion_control_without_timers() -> None:
    connection = OptionRecorder()
    take_unpaced(connection)  # type: ignore[arg-type]
    assert connection.options == [(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")]


def test_a_refused_option_is_no_failure() -> None:
    take_unpaced(OptionRecorder(OSError(errno.EPERM, "not allowed")))  # type: ignore[arg-type]
