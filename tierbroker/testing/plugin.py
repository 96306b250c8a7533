"""pytest plugin: a real broker for tests, with no Docker, no JVM and no download.

    def test_orders(kafka_broker, kafka_topic):
        producer = KafkaProducer(bootstrap_servers=kafka_broker.bootstrap)
        producer.send(kafka_topic, b"one").get(timeout=10)

It loads by itself where tierbroker is installed. A run that asks for no broker must not notice:
this module imports pytest, which is there anyway, and nothing else.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tierbroker.testing.target import BrokerTarget, TopicMaker


def pytest_addoption(parser: pytest.Parser) -> None:
    """--kafka-bootstrap."""
    group = parser.getgroup("tierbroker", "Kafka broker for tests (tierbroker)")
    group.addoption(
        "--kafka-bootstrap",
        metavar="HOST:PORT",
        default=None,
        help="run tests that use kafka_broker against this broker instead of an embedded one",
    )


@pytest.fixture(scope="session")
def kafka_broker(request: pytest.FixtureRequest) -> "Iterator[BrokerTarget]":
    """A Kafka broker for the whole session: `.bootstrap` is its "host:port".

    It runs in this process, in a thread of its own, listens on a free port of 127.0.0.1 and keeps
    nothing. With --kafka-bootstrap it is that broker instead.
    """
    from tierbroker.testing.target import open_target

    with open_target(request.config.getoption("--kafka-bootstrap")) as target:
        yield target


@pytest.fixture(scope="session")
def _kafka_topic_maker(kafka_broker: "BrokerTarget") -> "Iterator[TopicMaker]":
    from tierbroker.testing.target import TopicMaker

    maker = TopicMaker(kafka_broker)
    yield maker
    maker.close()


@pytest.fixture
def kafka_topic(request: pytest.FixtureRequest, _kafka_topic_maker: "TopicMaker") -> Iterator[str]:
    """The name of a topic with one partition that only this test knows; removed after it."""
    name = _kafka_topic_maker.create(request.node.name)
    yield name
    _kafka_topic_maker.remove(name)
