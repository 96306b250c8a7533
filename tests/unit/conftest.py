"""Unit tests use no network: an attempt to reach or to open a port is a failure that says so.

Socket pairs stay allowed, since an event loop wakes itself through one.
"""

import socket
from collections.abc import Iterator
from typing import NoReturn

import pytest


def _refuse(self: socket.socket, address: object) -> NoReturn:
    raise AssertionError(
        f"a unit test touches the network ({address!r}): use a socket pair, "
        "or move the test to tests/broker"
    )


@pytest.fixture(autouse=True)
def no_network() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for verb in ("bind", "connect", "connect_ex"):
            patch.setattr(socket.socket, verb, _refuse)
        yield
