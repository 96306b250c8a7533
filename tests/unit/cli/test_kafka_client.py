"""What a person reads when no broker takes a connection."""

import socket

import pytest

from tierbroker.cli import kafka_client
from tierbroker.cli.bootstrap import Bootstrap
from tierbroker.cli.exits import UnreachableError


@pytest.mark.parametrize(
    ("address", "advice"),
    [
        ("127.0.0.1:9092", ["Start one with: tierbroker dev", "Or name another address with"]),
        ("broker.example.com:9092", ["Name another address with"]),
    ],
)
def test_the_advice_is_whole_sentences(
    address: str, advice: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> socket.socket:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(UnreachableError) as caught:
        kafka_client.await_listener(Bootstrap.parse(address))
    first, *rest = caught.value.message.splitlines()
    assert first == f"Cannot reach a Kafka broker at {address} (connection refused)."
    assert len(rest) == len(advice)
    assert all(line.startswith(start) for line, start in zip(rest, advice, strict=True))
