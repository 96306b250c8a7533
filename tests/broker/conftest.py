"""Raw connections, topics and groups of their own for tests that speak the protocol by hand."""

import itertools
import os
from collections.abc import Callable, Iterator

import pytest

from tests.broker.cli_calls import Cli, cli_with
from tests.broker.group_calls import Member, await_coordinator, make_stable, new_group
from tests.broker.transaction_calls import TransactionalProducer
from tests.broker.wire_calls import create_topic, delete_topic
from tests.broker.wire_client import WireClient
from tierbroker.testing.target import BrokerTarget
from tierbroker.wire.error_codes import ErrorCode

_numbers = itertools.count()


@pytest.fixture
def environment(kafka_broker: BrokerTarget) -> dict[str, str]:
    """What the command line finds its broker by."""
    return {**os.environ, "TIERBROKER_BOOTSTRAP": kafka_broker.bootstrap}


@pytest.fixture
def cli(environment: dict[str, str]) -> Cli:
    """The command line, pointed at the broker."""
    return cli_with(environment)


@pytest.fixture
def client(kafka_broker: BrokerTarget) -> Iterator[WireClient]:
    """A connection. After the test it must still answer, unless the test saw it closed; and the
    broker must take a new one in any case.
    """
    with WireClient(kafka_broker.bootstrap) as connection:
        yield connection
        if not connection.closed_by_broker:
            connection.ping()
        with connection.another() as second:
            second.ping()


@pytest.fixture
def make_topic(client: WireClient) -> Iterator[Callable[..., str]]:
    """Makes topics that are ready for use: `make_topic(partitions=1, **{"key": "value"})`."""
    made: list[str] = []

    def make(partitions: int = 1, **configs: str) -> str:
        name = f"wire-{os.getpid()}-{next(_numbers)}"
        with client.another() as own:
            create_topic(own, name, partitions, configs)
        made.append(name)
        return name

    yield make
    with client.another() as own:
        for name in made:
            delete_topic(own, name)


@pytest.fixture
def topic(make_topic: Callable[..., str]) -> str:
    """A topic with one partition."""
    return make_topic()


@pytest.fixture
def group(client: WireClient) -> str:
    """The name of a group that does not exist, on a broker that coordinates groups."""
    await_coordinator(client)
    return new_group()


@pytest.fixture
def new_member(client: WireClient, group: str) -> Iterator[Callable[..., Member]]:
    """Makes members of `group`, or of one whose name is that with a prefix, each with a connection
    of its own; nothing is sent yet: `new_member(prefix="", **join_fields)`.
    """
    members: list[Member] = []

    def make(prefix: str = "", **how: object) -> Member:
        members.append(Member(client.another(), prefix + group, **how))
        return members[-1]

    yield make
    for member in members:
        member.client.close()


@pytest.fixture
def member(new_member: Callable[..., Member]) -> Member:
    """The only member of a stable group."""
    made = new_member()
    make_stable(made)
    return made


@pytest.fixture(params=[False, True], ids=["old", "new"])
def implicit(request: pytest.FixtureRequest) -> bool:
    """The protocol: clients of the old one add partitions themselves."""
    return bool(request.param)


@pytest.fixture
def producer(client: WireClient, implicit: bool) -> TransactionalProducer:
    """A transactional producer of either protocol."""
    made = TransactionalProducer(client, implicit=implicit)
    assert made.init() == ErrorCode.NONE
    return made


@pytest.fixture
def old(client: WireClient) -> TransactionalProducer:
    """A producer of the old protocol."""
    made = TransactionalProducer(client)
    assert made.init() == ErrorCode.NONE
    return made
