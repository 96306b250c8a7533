"""Where clients are told to connect."""

import os

import pytest

from tierbroker.node.addresses import advertised_address
from tierbroker.server.limits import ListenerConfig

PORTS = {"PLAINTEXT": 40000}


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::"])
def test_a_listener_on_all_addresses_is_known_by_the_machines_name(host: str) -> None:
    listener = ListenerConfig("PLAINTEXT", host, 0)
    assert advertised_address(listener, PORTS) == (os.uname().nodename, 40000)


def test_an_address_is_told_as_it_is() -> None:
    assert advertised_address(ListenerConfig("PLAINTEXT", "::1", 0), PORTS) == ("::1", 40000)


def test_advertised_listeners_decide() -> None:
    listener = ListenerConfig("PLAINTEXT", "", 9092, "broker.example", 19092)
    assert advertised_address(listener, PORTS) == ("broker.example", 19092)
