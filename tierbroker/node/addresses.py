"""Where clients are told to connect."""

import os
from collections.abc import Mapping

from tierbroker.server.limits import ListenerConfig

WILDCARDS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - told apart, not bound
"""Hosts that mean every address of this machine: nobody could connect to one of them."""


def advertised_address(listener: ListenerConfig, ports: Mapping[str, int]) -> tuple[str, int]:
    """Host and port that Metadata names for a listener; `ports` are those it was bound to.

    advertised.listeners decides; without it a listener on all addresses is known by the name of
    this machine, as in Kafka.
    """
    host = listener.advertised_host or listener.host
    if host in WILDCARDS:
        host = os.uname().nodename
    return host, listener.advertised_port or ports[listener.name]
