"""The two brokers that scenarios are put to, with the settings that the scenarios count on."""

from pathlib import Path

from integration.apache_kafka import ApacheKafka
from integration.broker_processes import Tierbroker

SETTINGS: dict[str, str] = {
    "num.partitions": "1",
    "offsets.topic.num.partitions": "4",
    # the shortest session that scenarios can wait for
    "group.min.session.timeout.ms": "300",
}


def make_kafka(directory: Path) -> ApacheKafka:
    """Apache Kafka, not started yet."""
    directory.mkdir(parents=True, exist_ok=True)
    return ApacheKafka(directory, SETTINGS, heap_mb=512)


def make_tierbroker(directory: Path) -> Tierbroker:
    """tierbroker, not started yet."""
    directory.mkdir(parents=True, exist_ok=True)
    return Tierbroker(directory, SETTINGS)
