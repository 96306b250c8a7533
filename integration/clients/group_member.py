"""A program that consumes as a member of a group until SIGTERM, and tells what it read and did.

    python -m integration.clients.group_member CLIENT BOOTSTRAP TOPIC GROUP NAME [ASSIGNOR]

One JSON line on standard output for each step: {"read": {partition: [first, last]}} before its
commit, {"committing": {partition: offset}} before and {"committed": {partition: offset}} after a
commit that the coordinator acknowledged, {"failed": error} after one that it did not,
{"assigned": [partition]}, {"revoked": [partition]} and {"left": true} after leaving in order.

A commit that fails, or an answer that stays away while the broker is down, is no reason to end:
the member polls on, and commits again what it still owns. It must: whoever keeps a partition keeps
its position too, so that nobody reads those records a second time.
"""

import asyncio
import json
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence

SESSION_TIMEOUT_MS = 6_000
HEARTBEAT_INTERVAL_MS = 1_500
POLL_S = 0.2
BATCH = 500
COMMIT_TIMEOUT_MS = 10_000


class Stop:
    """Whether SIGTERM came."""

    def __init__(self) -> None:
        self.wanted = False
        signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, *_: object) -> None:
        self.wanted = True


def tell(**event: object) -> None:
    """Print one step as a whole line."""
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


class Uncommitted:
    """How far the owned partitions were read beyond the last acknowledged commit."""

    def __init__(self) -> None:
        self._positions: dict[int, int] = {}

    def read(self, batches: Mapping[int, Sequence[int]]) -> None:
        """Take up and tell the offsets that came, by partition."""
        tell(read={partition: [offsets[0], offsets[-1]] for partition, offsets in batches.items()})
        for partition, offsets in batches.items():
            assert list(offsets) == list(range(offsets[0], offsets[-1] + 1)), (partition, offsets)
            self._positions[partition] = offsets[-1] + 1

    def to_commit(self, owned: Iterable[int]) -> dict[int, int]:
        """What to ask the coordinator for now, and tell of it; empty when all is committed."""
        self._drop(self._positions.keys() - set(owned))
        if self._positions:
            tell(committing=self._positions)
        return dict(self._positions)

    def committed(self, positions: Mapping[int, int]) -> None:
        """The coordinator acknowledged these."""
        tell(committed=dict(positions))
        self._drop(positions)

    def revoked(self, partitions: Iterable[int]) -> None:
        """Another member reads these again from the last commit, and commits them."""
        gone = sorted(partitions)
        tell(revoked=gone)
        self._drop(gone)

    def _drop(self, partitions: Iterable[int]) -> None:
        for partition in list(partitions):
            self._positions.pop(partition, None)


def run_kafka_python(bootstrap: str, topic: str, group: str, name: str, assignor: str) -> None:
    stop = Stop()
    from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
    from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
    from kafka.coordinator.assignors.range import RangePartitionAssignor
    from kafka.errors import KafkaError

    class Listener(ConsumerRebalanceListener):
        def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
            uncommitted.revoked(place.partition for place in revoked)

        def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
            tell(assigned=sorted(place.partition for place in assigned))

    uncommitted = Uncommitted()
    assignors = {
        "range": RangePartitionAssignor,
        "cooperative-sticky": CooperativeStickyAssignor,
    }

    def connected() -> KafkaConsumer:
        while True:
            try:
                return KafkaConsumer(
                    bootstrap_servers=bootstrap,
                    group_id=group,
                    client_id=name,
                    enable_auto_commit=False,
                    auto_offset_reset="earliest",
                    session_timeout_ms=SESSION_TIMEOUT_MS,
                    heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
                    partition_assignment_strategy=[assignors[assignor]],
                )
            except KafkaError:
                # The broker is down just now.
                time.sleep(POLL_S)

    consumer = connected()
    consumer.subscribe([topic], listener=Listener())
    while not stop.wanted:
        try:
            records = consumer.poll(timeout_ms=int(POLL_S * 1000), max_records=BATCH)
        except KafkaError:
            time.sleep(POLL_S)
            continue
        if records:
            uncommitted.read(
                {place.partition: [row.offset for row in rows] for place, rows in records.items()}
            )
        positions = uncommitted.to_commit(place.partition for place in consumer.assignment())
        if not positions:
            continue
        try:
            consumer.commit(
                {
                    TopicPartition(topic, partition): OffsetAndMetadata(offset, "", -1)
                    for partition, offset in positions.items()
                },
                timeout_ms=COMMIT_TIMEOUT_MS,
            )
        except KafkaError as error:
            tell(failed=repr(error))
            continue
        uncommitted.committed(positions)
    consumer.close(autocommit=False)
    tell(left=True)


def run_confluent(bootstrap: str, topic: str, group: str, name: str, assignor: str) -> None:
    stop = Stop()
    from confluent_kafka import Consumer, KafkaException, TopicPartition

    uncommitted = Uncommitted()
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "client.id": name,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": SESSION_TIMEOUT_MS,
            "heartbeat.interval.ms": HEARTBEAT_INTERVAL_MS,
            "partition.assignment.strategy": assignor,
            "log_level": 0,
        }
    )
    consumer.subscribe(
        [topic],
        on_assign=lambda _, assigned: tell(assigned=sorted(place.partition for place in assigned)),
        on_revoke=lambda _, revoked: uncommitted.revoked(place.partition for place in revoked),
    )
    while not stop.wanted:
        batches: dict[int, list[int]] = {}
        for message in consumer.consume(BATCH, timeout=POLL_S):
            if message.error() is None:
                batches.setdefault(message.partition(), []).append(message.offset())
        if batches:
            uncommitted.read(batches)
        positions = uncommitted.to_commit(place.partition for place in consumer.assignment())
        if not positions:
            continue
        places = [TopicPartition(topic, number, offset) for number, offset in positions.items()]
        try:
            answered = consumer.commit(offsets=places, asynchronous=False)
        except KafkaException as error:
            tell(failed=repr(error))
            continue
        uncommitted.committed(
            {place.partition: place.offset for place in answered if place.error is None}
        )
    consumer.close()
    tell(left=True)


def run_aiokafka(bootstrap: str, topic: str, group: str, name: str, assignor: str) -> None:
    assert assignor == "range", "aiokafka knows no cooperative protocol"
    asyncio.run(_run_aiokafka(bootstrap, topic, group, name))


async def _run_aiokafka(bootstrap: str, topic: str, group: str, name: str) -> None:
    stop = Stop()
    from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
    from aiokafka.coordinator.assignors.range import RangePartitionAssignor
    from aiokafka.errors import KafkaError

    class Listener(ConsumerRebalanceListener):
        async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
            # aiokafka sends a commit that failed again, and in the generation of that time: it
            # might put back what the next owner has committed.
            async with committing:
                uncommitted.revoked(place.partition for place in revoked)

        async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
            tell(assigned=sorted(place.partition for place in assigned))

    async def connected() -> AIOKafkaConsumer:
        while True:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=bootstrap,
                group_id=group,
                client_id=name,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                session_timeout_ms=SESSION_TIMEOUT_MS,
                heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
                partition_assignment_strategy=[RangePartitionAssignor],
            )
            consumer.subscribe([topic], listener=Listener())
            try:
                await consumer.start()
            except KafkaError:
                await consumer.stop()
                await asyncio.sleep(POLL_S)
                continue
            return consumer

    committing = asyncio.Lock()
    uncommitted = Uncommitted()
    consumer = await connected()
    while not stop.wanted:
        records = await consumer.getmany(timeout_ms=int(POLL_S * 1000), max_records=BATCH)
        if records:
            uncommitted.read(
                {place.partition: [row.offset for row in rows] for place, rows in records.items()}
            )
        async with committing:
            positions = uncommitted.to_commit(place.partition for place in consumer.assignment())
            if not positions:
                continue
            places = {TopicPartition(topic, number): offset for number, offset in positions.items()}
            try:
                await asyncio.wait_for(consumer.commit(places), COMMIT_TIMEOUT_MS / 1000)
            except (KafkaError, TimeoutError) as error:
                tell(failed=repr(error))
                continue
            uncommitted.committed(positions)
    await consumer.stop()
    tell(left=True)


MEMBERS = {
    "kafka-python": run_kafka_python,
    "confluent-kafka": run_confluent,
    "aiokafka": run_aiokafka,
}

if __name__ == "__main__":
    MEMBERS[sys.argv[1]](*sys.argv[2:6], *(sys.argv[6:] or ["range"]))
