"""A broker's HTTP pages, found through Kafka's protocol: DescribeConfigs says where they are.

So `-b HOST:PORT` is all that a command needs. Whatever fails becomes one sentence for people, with
the next step.
"""

import http.client
import json
import selectors
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tierbroker.cli.bootstrap import Address, Bootstrap, InvalidBootstrapError
from tierbroker.cli.exits import CommandFailedError, UnreachableError
from tierbroker.cli.kafka_client import CONNECT_TIMEOUT_S, STALL_TIMEOUT_S
from tierbroker.cli.raw_client import connected
from tierbroker.wire.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
)
from tierbroker.wire.messages.metadata import MetadataRequest

HTTP_LISTENER = "http.listener"
LOOPBACK = "127.0.0.1"
_BROKER = 4
"""The kind of resource whose settings are asked for."""
_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - told apart, not bound


@dataclass(frozen=True, slots=True)
class ToldAddress:
    """What one broker of a cluster says of itself."""

    node_id: int
    kafka: Address
    listener: str | None


class BrokerHttp:
    """The pages of one broker. One request at a time, each on a connection of its own."""

    def __init__(self, address: Address, kafka: Address) -> None:
        self.address = address
        self.kafka = kafka

    def tier(self, topic: str | None = None) -> dict[str, Any]:
        """/v1/tier; raises CommandFailedError, UnreachableError."""
        path = "/v1/tier" if topic is None else f"/v1/tier?topic={quote(topic, safe='')}"
        return self._call("GET", path).finish()

    def offload(self, topic: str, *, evict: bool, wait: bool) -> "Call":
        """/v1/tier/offload; `Call.finish` waits for it. To close the call gives it up."""
        return self._call(
            "POST", "/v1/tier/offload", {"topic": topic, "evict": evict, "wait": wait}
        )

    def _call(self, method: str, path: str, body: object = None) -> "Call":
        client = http.client.HTTPConnection(
            self.address.host, self.address.port, timeout=CONNECT_TIMEOUT_S
        )
        data = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            client.request(method, path, data, headers)
        except OSError as error:
            raise self._unreachable(error) from error
        return Call(client, self)

    def _unreachable(self, error: OSError) -> UnreachableError:
        return UnreachableError(
            f"The broker at {self.kafka} answers HTTP at {self.address}, which cannot be reached "
            f"from here: {error.strerror or error}.\nRun this command on the broker's machine, or "
            f"let it listen elsewhere with {HTTP_LISTENER}=HOST:PORT."
        )


class Call:
    """A request that is under way; as a context manager it is given up at the end."""

    def __init__(self, client: http.client.HTTPConnection, broker: BrokerHttp) -> None:
        self._client = client
        self._broker = broker

    def __enter__(self) -> "Call":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def is_answered(self, within_s: float) -> bool:
        """Wait so long for the answer; True when it is there."""
        assert self._client.sock is not None, "the request was sent"
        with selectors.DefaultSelector() as selector:
            selector.register(self._client.sock, selectors.EVENT_READ)
            return bool(selector.select(within_s))

    def finish(self) -> dict[str, Any]:
        """The answer; raises CommandFailedError where it is an error, UnreachableError."""
        try:
            if isinstance(self._client.sock, socket.socket):
                self._client.sock.settimeout(STALL_TIMEOUT_S)
            answer = self._client.getresponse()
            body = answer.read()
        except TimeoutError:
            raise CommandFailedError(
                f"{self._broker.address} did not answer within {STALL_TIMEOUT_S:g} s."
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(
                f"The connection to {self._broker.address} broke: {error or 'it was closed'}"
            ) from error
        finally:
            self._client.close()
        try:
            told = json.loads(body)
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise UnreachableError(f"{self._broker.address} does not answer as a broker.")
        if answer.status >= http.client.BAD_REQUEST:
            raise CommandFailedError(_sentence(str(told.get("error", answer.reason))))
        return told


def find_brokers(bootstrap: Bootstrap) -> Iterator[BrokerHttp]:
    """The pages of every live broker of the cluster; raises CommandFailedError, UnreachableError.

    Each has been asked who it is: behind an address on loopback may be somebody else's broker.
    """
    with connected(bootstrap) as client:
        cluster = client.call(MetadataRequest(topics=[]), 9)
    for broker in cluster.brokers:
        told = _ask(broker.node_id, Address(broker.host, broker.port))
        yield reach(told, cluster.cluster_id)


def _ask(node_id: int, address: Address) -> ToldAddress:
    resource = DescribeConfigsResource(_BROKER, str(node_id), [HTTP_LISTENER])
    with connected(Bootstrap((address,))) as client:
        found = client.call(DescribeConfigsRequest([resource]), 4).results[0].configs
    return ToldAddress(
        node_id, address, next((each.value for each in found if each.name == HTTP_LISTENER), None)
    )


def reach(told: ToldAddress, cluster_id: str) -> BrokerHttp:
    """The pages of the broker that said where they are; CommandFailedError, UnreachableError."""
    failure: UnreachableError | None = None
    for address in _addresses(told):
        broker = BrokerHttp(address, told.kafka)
        try:
            who = broker.tier()
        except UnreachableError as error:
            failure = failure or error
            continue
        if (who.get("cluster_id"), who.get("node_id")) == (cluster_id, told.node_id):
            return broker
        failure = failure or UnreachableError(
            f"The broker at {told.kafka} answers HTTP at {address} of its own machine, and here "
            "that is another broker.\nRun this command on the broker's machine."
        )
    assert failure is not None, "every address fails for a reason"
    raise failure


def _addresses(told: ToldAddress) -> list[Address]:
    """Where the pages may be, the likeliest first."""
    if told.listener is None:
        raise CommandFailedError(
            f"The broker at {told.kafka} does not say where it answers HTTP: it is not tierbroker, "
            "or an older one."
        )
    if not told.listener:
        raise CommandFailedError(
            f"The broker at {told.kafka} answers no HTTP: its {HTTP_LISTENER} is empty.\n"
            f"Restart it without that setting, or with --set {HTTP_LISTENER}=127.0.0.1:0"
        )
    try:
        (listens,) = Bootstrap.parse(told.listener).addresses
    except (InvalidBootstrapError, ValueError) as error:
        raise CommandFailedError(
            f"The broker at {told.kafka} says it answers HTTP at {told.listener!r}: {error}"
        ) from error
    if listens.host in _WILDCARDS:
        return [Address(LOOPBACK, listens.port), Address(told.kafka.host, listens.port)]
    return [listens]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
