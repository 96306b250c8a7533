"""A broker on a damaged log serves everything around the damage, to stock clients too."""

import asyncio
from pathlib import Path

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from tests.broker.test_many_logs import node_at, stop_roughly
from tierbroker.records.batch import walk

RECORDS = 20
DAMAGED = 7


def write(bootstrap: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic("t", 1, 1)])
    admin.close()
    append(bootstrap, range(RECORDS))


def append(bootstrap: str, values: range) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=0)
    for index in values:
        producer.send("t", b"%d" % index).get(20)
    producer.close()


def read(bootstrap: str, offset: int, timeout_ms: int) -> list[int]:
    """The offsets that a consumer gets from `offset` on."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap, consumer_timeout_ms=timeout_ms, auto_offset_reset="none"
    )
    consumer.assign([TopicPartition("t", 0)])
    consumer.seek(TopicPartition("t", 0), offset)
    found = [record.offset for record in consumer]
    consumer.close()
    return found


async def test_everything_around_the_damage_is_served(tmp_path: Path) -> None:
    node = node_at(tmp_path)
    await node.start()
    await asyncio.to_thread(write, node.bootstrap)
    await stop_roughly(node)
    path = tmp_path / "t-0" / f"{0:020}.log"
    content = bytearray(path.read_bytes())
    (position,) = [at for at, header in walk(bytes(content)) if header.base_offset == DAMAGED]
    content[position + 62] ^= 1
    path.write_bytes(content)
    for rough in (True, False):
        node = node_at(tmp_path)
        await node.start()
        assert await asyncio.to_thread(read, node.bootstrap, 0, 1000) == [*range(DAMAGED)]
        behind = await asyncio.to_thread(read, node.bootstrap, DAMAGED + 1, 1000)
        await asyncio.to_thread(append, node.bootstrap, range(1))
        end = (await asyncio.to_thread(read, node.bootstrap, behind[-1], 1000))[-1]
        assert behind[: RECORDS - DAMAGED - 1] == [*range(DAMAGED + 1, RECORDS)]
        assert end == behind[-1] + 1
        await (stop_roughly(node) if rough else node.stop())
    assert path.read_bytes() == content
