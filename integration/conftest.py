"""Brokers, topics and text for the integration tests.

Which broker is judged: `tierbroker dev` by default. INTEGRATION_BOOTSTRAP=apache judges the tests
themselves against an Apache Kafka; INTEGRATION_BOOTSTRAP=host:port takes one that runs already,
and tests that must stop it or look into its files are then not for it.
"""

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from integration.apache_kafka import ApacheKafka
from integration.broker_processes import BrokerProcess, Tierbroker
from integration.clients import Line
from integration.corpus import read_corpus, small_corpus
from integration.differential.pair import make_kafka

CHOICE = os.environ.get("INTEGRATION_BOOTSTRAP", "")

StartBroker = Callable[..., BrokerProcess]

SHARED_BROKER = pytest.StashKey[BrokerProcess]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """These tests wait for processes: they may take longer than a unit test."""
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="session")
def start_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartBroker]:
    """Start a broker of one's own: `start_broker({"log.segment.bytes": "1048576"})`.

    All that still run are stopped in the end.
    """
    if CHOICE not in ("", "apache"):
        pytest.skip("this test owns its broker; INTEGRATION_BOOTSTRAP names a running one")
    started: list[ApacheKafka | Tierbroker] = []

    def start(settings: Mapping[str, str] | None = None) -> BrokerProcess:
        directory = tmp_path_factory.mktemp("broker")
        kind = ApacheKafka if CHOICE == "apache" else Tierbroker
        broker = kind(directory, settings)
        started.append(broker)
        broker.start()
        return broker

    yield start
    for broker in started:
        if broker.running:
            broker.stop()


@pytest.fixture(scope="session")
def broker_process(start_broker: StartBroker, pytestconfig: pytest.Config) -> BrokerProcess:
    """One broker for all tests that neither stop it nor configure it."""
    broker = start_broker()
    pytestconfig.stash[SHARED_BROKER] = broker
    return broker


@pytest.fixture(scope="session")
def apache_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """One Apache Kafka for all tests that compare with it and neither stop nor configure it.

    It may hold topics and groups of other tests: use names of your own.
    """
    kafka = make_kafka(tmp_path_factory.mktemp("apache-kafka"))
    kafka.start()
    yield kafka
    kafka.stop()


@pytest.fixture(scope="session")
def bootstrap(request: pytest.FixtureRequest) -> str:
    """host:port of the broker under test."""
    if CHOICE not in ("", "apache"):
        return CHOICE
    return request.getfixturevalue("broker_process").bootstrap


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """A test that fails shows what its broker wrote meanwhile."""
    report = yield
    if report.failed:
        # No fixture's work: a broker of the test's own may be torn down before it.
        values = dict(getattr(item, "funcargs", {}))
        if "bootstrap" in values and SHARED_BROKER in item.config.stash:
            values["broker_process"] = item.config.stash[SHARED_BROKER]
        for name, value in values.items():
            if isinstance(value, ApacheKafka | Tierbroker):
                report.sections.append((f"Log of {name}", value.log_text()[-6000:]))
    return report


_numbers = itertools.count(1)


@pytest.fixture
def new_topic(bootstrap: str) -> Callable[..., str]:
    """Create a topic of one's own and get its name."""

    def create(partitions: int = 1, **config: str) -> str:
        name = f"t{os.getpid()}-{next(_numbers)}"
        create_topic(bootstrap, name, partitions, config)
        return name

    return create


def create_topic(
    bootstrap: str, name: str, partitions: int = 1, config: Mapping[str, str] | None = None
) -> None:
    """Create a topic; the keys of `config` are the topic's property names."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 4})
    topic = NewTopic(name, partitions, replication_factor=1, config=dict(config or {}))
    for created in admin.create_topics([topic], operation_timeout=30).values():
        created.result(timeout=30)


@pytest.fixture(scope="session")
def corpus() -> list[Line]:
    """The whole standard library: about 860,000 lines with CPython's own tests."""
    return read_corpus()


@pytest.fixture(scope="session")
def lines(corpus: list[Line]) -> list[Line]:
    """100,000 lines of it that every client can carry."""
    return small_corpus(corpus)


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for files of a whole run."""
    return tmp_path_factory.mktemp("scratch")
