"""kafka-python: the pure Python client with threads."""

from collections.abc import Sequence

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from integration.clients import READ_TIMEOUT_S, Line


def write(bootstrap: str, topic: str, lines: Sequence[Line], codec: str) -> None:
    producer = KafkaProducer(
        bootstrap_servers=bootstrap,
        compression_type=None if codec == "none" else codec,
    )
    try:
        pending = [producer.send(topic, key=key, value=value) for key, value in lines]
        producer.flush(timeout=120)
        for future in pending:
            future.get(timeout=0)
    finally:
        producer.close(timeout=5)


def read(bootstrap: str, topic: str, partition: int, count: int) -> list[Line]:
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        consumer_timeout_ms=READ_TIMEOUT_S * 1000,
    )
    try:
        place = TopicPartition(topic, partition)
        consumer.assign([place])
        consumer.seek_to_beginning(place)
        lines: list[Line] = []
        while len(lines) < count:
            record = next(consumer, None)
            assert record is not None, f"only {len(lines)} of {count} records came"
            lines.append((record.key, record.value))
        return lines
    finally:
        consumer.close()
