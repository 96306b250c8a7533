import fcntl
import resource
import socket
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tierbroker.cli.bootstrap import Address
from tierbroker.cli.broker_http import BrokerHttp, Call, ToldAddress, reach
from tierbroker.cli.exits import CommandFailedError, UnreachableError

KAFKA = Address("10.0.0.5", 9092)
WHO = {"cluster_id": "c", "node_id": 1}


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> dict[Address, dict[str, Any]]:
    """Who answers where; nobody elsewhere."""
    there: dict[Address, dict[str, Any]] = {}

    def tier(broker: BrokerHttp, topic: str | None = None) -> dict[str, Any]:
        if broker.address not in there:
            raise UnreachableError(f"nobody at {broker.address}")
        return there[broker.address]

    monkeypatch.setattr(BrokerHttp, "tier", tier)
    return there


def told(listener: str | None) -> ToldAddress:
    return ToldAddress(1, KAFKA, listener)


def test_the_address_that_was_told_is_taken(machines: dict[Address, dict[str, Any]]) -> None:
    machines[Address("::1", 9644)] = WHO
    assert reach(told("[::1]:9644"), "c").address == Address("::1", 9644)


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.5"])
def test_all_addresses_mean_this_machine_or_the_brokers(
    machines: dict[Address, dict[str, Any]], host: str
) -> None:
    machines[Address("127.0.0.1", 9644)] = {**WHO, "node_id": 2}
    machines[Address(host, 9644)] = WHO
    assert reach(told("0.0.0.0:9644"), "c").address.host == host


@pytest.mark.parametrize("who", [{**WHO, "node_id": 2}, {**WHO, "cluster_id": "d"}, {}])
def test_loopback_may_be_somebody_else_here(
    machines: dict[Address, dict[str, Any]], who: dict[str, Any]
) -> None:
    """The broker is on another machine, or behind a tunnel."""
    machines[Address("127.0.0.1", 9644)] = who
    with pytest.raises(UnreachableError, match="that is another broker"):
        reach(told("127.0.0.1:9644"), "c")


def test_what_cannot_be_reached_keeps_its_first_reason(
    machines: dict[Address, dict[str, Any]],
) -> None:
    assert not machines
    with pytest.raises(UnreachableError, match=r"nobody at 127\.0\.0\.1:9644"):
        reach(told("0.0.0.0:9644"), "c")


@pytest.mark.parametrize(
    ("listener", "said"),
    [(None, "is not tierbroker"), ("", r"http\.listener is empty"), ("a:b:c", "'a:b:c'")],
)
def test_what_is_no_address_is_explained(listener: str | None, said: str) -> None:
    with pytest.raises(CommandFailedError, match=said):
        reach(told(listener), "c")


def test_an_answer_is_waited_for_on_any_descriptor() -> None:
    """Also where the process has more than 1,024 files open, which is all that select(2) knows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        here, there = socket.socketpair()
        with here, there, socket.socket(fileno=fcntl.fcntl(here, fcntl.F_DUPFD, 1100)) as high:
            client = SimpleNamespace(sock=high)
            call = Call(cast("Any", client), cast("Any", None))
            assert not call.is_answered(0)
            there.send(b"x")
            assert call.is_answered(10)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
