"""confluent-kafka: librdkafka in C."""

from collections.abc import Sequence

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from integration.clients import READ_TIMEOUT_S, Line


def write(bootstrap: str, topic: str, lines: Sequence[Line], codec: str) -> None:
    failures: list[str] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            failures.append(f"{message.key()!r}: {error}")

    producer = Producer({"bootstrap.servers": bootstrap, "compression.type": codec})
    for key, value in lines:
        while True:
            try:
                producer.produce(topic, key=key, value=value, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(1)
    unsent = producer.flush(120)
    assert unsent == 0, f"{unsent} records were not sent within 120 s"
    assert not failures, f"{len(failures)} records failed, the first: {failures[0]}"


def read(bootstrap: str, topic: str, partition: int, count: int) -> list[Line]:
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "none", "enable.auto.commit": False}
    )
    try:
        consumer.assign([TopicPartition(topic, partition, 0)])
        lines: list[Line] = []
        while len(lines) < count:
            messages = consumer.consume(min(10_000, count - len(lines)), timeout=READ_TIMEOUT_S)
            assert messages, f"only {len(lines)} of {count} records came"
            for message in messages:
                assert message.error() is None, message.error()
                lines.append((message.key(), message.value()))
        return lines
    finally:
        consumer.close()
