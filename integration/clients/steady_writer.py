"""A program that writes numbered records until it is terminated, and tells what was acknowledged.

    python -m integration.clients.steady_writer CLIENT BOOTSTRAP TOPIC PREFIX

Each acknowledgement is one JSON line on standard output, of the shape that Kafka's own
VerifiableProducer prints. Failed sends print nothing: a record without a line may be in the log
or not. The client runs with its defaults and acks=all.
"""

import asyncio
import itertools
import json
import sys
import threading
import time
from collections.abc import Iterator

IN_FLIGHT_MAX = 300
PAUSE_S = 0.05
BURST = 40
"""40 records each 50 ms: load enough to hit every moment of a write, room for the others."""
PADDING = "x" * 150


def acknowledged(partition: int, offset: int, value: bytes) -> None:
    """Print one acknowledgement as a whole line."""
    line = {
        "name": "producer_send_success",
        "partition": partition,
        "offset": offset,
        "value": value.decode(),
    }
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def bursts(prefix: str) -> Iterator[list[bytes]]:
    """Values that no other writer uses, a burst at a time, for ever."""
    numbers = itertools.count()
    while True:
        yield [f"{prefix}.{next(numbers)}.{PADDING}".encode() for _ in range(BURST)]


def write_with_kafka_python(bootstrap: str, topic: str, prefix: str) -> None:
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all")
    room = threading.BoundedSemaphore(IN_FLIGHT_MAX)
    for values in bursts(prefix):
        for value in values:
            room.acquire()
            future = producer.send(topic, value=value)
            future.add_both(lambda _: room.release())
            future.add_callback(
                lambda record, value=value: acknowledged(record.partition, record.offset, value)
            )
        time.sleep(PAUSE_S)


def write_with_confluent(bootstrap: str, topic: str, prefix: str) -> None:
    from confluent_kafka import Producer

    def delivered(error, message) -> None:
        if error is None:
            acknowledged(message.partition(), message.offset(), message.value())

    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "log_level": 0})
    for values in bursts(prefix):
        while len(producer) > IN_FLIGHT_MAX:
            producer.poll(0.01)
        for value in values:
            producer.produce(topic, value=value, on_delivery=delivered)
        producer.poll(0)
        time.sleep(PAUSE_S)


def write_with_aiokafka(bootstrap: str, topic: str, prefix: str) -> None:
    asyncio.run(_write_with_aiokafka(bootstrap, topic, prefix))


async def _write_with_aiokafka(bootstrap: str, topic: str, prefix: str) -> None:
    from aiokafka import AIOKafkaProducer

    room = asyncio.Semaphore(IN_FLIGHT_MAX)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")

    def settled(future: asyncio.Future, value: bytes) -> None:
        room.release()
        if not future.cancelled() and future.exception() is None:
            record = future.result()
            acknowledged(record.partition, record.offset, value)

    await producer.start()
    for values in bursts(prefix):
        for value in values:
            await room.acquire()
            future = await producer.send(topic, value=value)
            future.add_done_callback(lambda f, value=value: settled(f, value))
        await asyncio.sleep(PAUSE_S)


WRITERS = {
    "kafka-python": write_with_kafka_python,
    "confluent-kafka": write_with_confluent,
    "aiokafka": write_with_aiokafka,
}

if __name__ == "__main__":
    WRITERS[sys.argv[1]](*sys.argv[2:])
