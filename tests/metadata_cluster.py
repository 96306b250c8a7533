"""Images of small clusters for tests of deciders."""

import random
from collections.abc import Iterable
from typing import Any

from tierbroker.base.config import ConfigKey, ConfigSchema, ConfigType, Scope, between
from tierbroker.base.ids import Uuid
from tierbroker.controller.records.topic_record import TopicRecord
from tierbroker.controller.state.brokers import Registration, register_broker, unfence_broker
from tierbroker.controller.state.delta import MetadataDelta
from tierbroker.controller.state.environment import Environment
from tierbroker.controller.state.features import SUPPORTED_FEATURES, bootstrap_records
from tierbroker.controller.state.image import Endpoint, MetadataImage
from tierbroker.controller.state.partitions import new_partition
from tierbroker.controller.state.result import Result

KEYS = (
    ConfigKey("retention.ms", ConfigType.LONG, "604800000", "", Scope.TOPIC, validate=between(-1)),
    ConfigKey("cleanup.policy", ConfigType.LIST, "delete", "", Scope.TOPIC),
    ConfigKey("log.retention.ms", ConfigType.LONG, "604800000", "", Scope.BROKER),
    ConfigKey("num.partitions", ConfigType.INT, "1", "", Scope.BROKER),
)


def environment(**changes: Any) -> Environment:
    values: dict[str, Any] = {
        "schema": ConfigSchema(KEYS),
        "rng": random.Random(7),
        "dynamic_broker_keys": frozenset({"log.retention.ms"}),
    }
    return Environment(**{**values, **changes})


def applied(image: MetadataImage, result: Result[Any]) -> MetadataImage:
    """The image after the decision."""
    return replayed(image, result.records)


def replayed(image: MetadataImage, records: Iterable[Any]) -> MetadataImage:
    """The image after the records."""
    delta = MetadataDelta(image)
    count = 0
    for record in records:
        delta.replay(record)
        count += 1
    return delta.finish(image.offset + count, 1)[0]


def registration(broker_id: int, incarnation: int = 1, **changes: Any) -> Registration:
    values: dict[str, Any] = {
        "broker_id": broker_id,
        "incarnation_id": Uuid(bytes([broker_id, incarnation]) * 8),
        "endpoints": (Endpoint("PLAINTEXT", "localhost", 9092 + broker_id),),
        "features": tuple(SUPPORTED_FEATURES.items()),
        "log_dirs": (log_dir(broker_id),),
    }
    return Registration(**{**values, **changes})


def log_dir(broker_id: int) -> Uuid:
    return Uuid(bytes([broker_id, 0xDD]) * 8)


def cluster(*broker_ids: int, racks: dict[int, str] | None = None) -> MetadataImage:
    """A bootstrapped image with unfenced brokers."""
    image = replayed(MetadataImage(), bootstrap_records())
    for broker_id in broker_ids:
        rack = (racks or {}).get(broker_id)
        result = register_broker(image, registration(broker_id, rack=rack))
        image = applied(image, result)
        image = applied(image, unfence_broker(image, broker_id, result.response))
    return image


def with_topic(image: MetadataImage, name: str, *replicas: tuple[int, ...]) -> MetadataImage:
    """The image with a topic of these assignments, of whatever lengths."""
    topic_id = Uuid(name.encode().ljust(16, b"."))
    partitions = [new_partition(image, topic_id, *entry) for entry in enumerate(replicas)]
    return replayed(image, [TopicRecord(name, topic_id), *partitions])
