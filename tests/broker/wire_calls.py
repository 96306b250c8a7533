"""The requests that tests by hand send again and again, with one partition each."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from tests.broker.wire_client import DEADLINE_S, WireClient
from tierbroker.base.ids import ZERO_UUID, Uuid
from tierbroker.records.builder import build_batch
from tierbroker.records.record import Record
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)
from tierbroker.wire.messages.delete_topics import DeleteTopicsRequest, DeleteTopicState
from tierbroker.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from tierbroker.wire.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from tierbroker.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from tierbroker.wire.messages.produce import (
    PartitionProduceData,
    ProduceRequest,
    TopicProduceData,
)

LATEST, EARLIEST = -1, -2


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def batch_of(
    values: Sequence[bytes | None] = (b"value",),
    *,
    key: bytes | None = None,
    timestamp_ms: int | None = None,
    **how: Any,
) -> bytes:
    """A sound batch; `how` goes to `build_batch`."""
    stamp = now_ms() if timestamp_ms is None else timestamp_ms
    return build_batch([Record(0, stamp, key, value, ()) for value in values], **how)


def produce_request(
    topic: str, records: bytes | None, *, partition: int = 0, acks: int = -1, **rest: Any
) -> ProduceRequest:
    data = PartitionProduceData(index=partition, records=records)
    return ProduceRequest(
        acks=acks,
        timeout_ms=10_000,
        topic_data=[TopicProduceData(name=topic, partition_data=[data])],
        **rest,
    )


def produce(
    client: WireClient, topic: str, records: bytes | None, *, version: int = 9, **how: Any
) -> Any:
    """The answer for the one partition."""
    response = client.call(produce_request(topic, records, **how), version)
    ((answer,),) = (entry.partition_responses for entry in response.responses)
    return answer


def fetch_request(
    topic: str | Uuid | None,
    offset: int = 0,
    *,
    partition: int = 0,
    current_leader_epoch: int = -1,
    last_fetched_epoch: int = -1,
    partition_max_bytes: int = 1 << 20,
    **rest: Any,
) -> FetchRequest:
    """Without a topic: nothing but the session."""
    asked = FetchPartition(
        partition=partition,
        fetch_offset=offset,
        current_leader_epoch=current_leader_epoch,
        last_fetched_epoch=last_fetched_epoch,
        partition_max_bytes=partition_max_bytes,
    )
    topics = []
    if isinstance(topic, str):
        topics = [FetchTopic(topic=topic, partitions=[asked])]
    elif topic is not None:
        topics = [FetchTopic(topic_id=topic, partitions=[asked])]
    how: dict[str, Any] = {"max_wait_ms": 0, "min_bytes": 0, "max_bytes": 1 << 24, **rest}
    how.setdefault("session_epoch", -1)
    return FetchRequest(topics=topics, **how)


def fetch(
    client: WireClient, topic: str | Uuid, offset: int = 0, *, version: int = 11, **how: Any
) -> Any:
    """The answer for the one partition."""
    response = client.call(fetch_request(topic, offset, **how), version)
    assert response.error_code == 0
    ((answer,),) = (entry.partitions for entry in response.responses)
    return answer


def list_offsets(
    client: WireClient,
    topic: str,
    timestamp: int,
    *,
    partition: int = 0,
    version: int = 7,
    current_leader_epoch: int = -1,
) -> Any:
    """The answer for the one partition."""
    asked = ListOffsetsPartition(
        partition_index=partition, timestamp=timestamp, current_leader_epoch=current_leader_epoch
    )
    request = ListOffsetsRequest(
        replica_id=-1, topics=[ListOffsetsTopic(name=topic, partitions=[asked])]
    )
    response = client.call(request, version)
    ((answer,),) = (entry.partitions for entry in response.topics)
    return answer


def metadata_of(
    client: WireClient,
    *names: str,
    ids: Sequence[Uuid] = (),
    auto_create: bool = False,
    version: int = 12,
) -> Any:
    """The whole answer for these topics."""
    topics = [MetadataRequestTopic(name=name) for name in names]
    topics += [MetadataRequestTopic(topic_id=topic_id, name=None) for topic_id in ids]
    request = MetadataRequest(topics=topics, allow_auto_topic_creation=auto_create)
    return client.call(request, version)


def topic_id_of(client: WireClient, name: str) -> Uuid:
    (topic,) = metadata_of(client, name).topics
    assert topic.topic_id != ZERO_UUID
    return Uuid(bytes(topic.topic_id))


def create_topic(
    client: WireClient, name: str, partitions: int = 1, configs: Mapping[str, str] | None = None
) -> None:
    """Make a topic and wait until each partition can be used."""
    settings = [CreatableTopicConfig(name=k, value=v) for k, v in (configs or {}).items()]
    asked = CreatableTopic(
        name=name, num_partitions=partitions, replication_factor=1, configs=settings
    )
    response = client.call(CreateTopicsRequest(topics=[asked], timeout_ms=10_000), 7)
    (result,) = response.topics
    assert result.error_code == ErrorCode.NONE, result.error_message
    deadline = time.monotonic() + DEADLINE_S
    for partition in range(partitions):
        while list_offsets(client, name, LATEST, partition=partition).error_code != 0:
            assert time.monotonic() < deadline, f"{name}-{partition} does not become ready"


def delete_topic(client: WireClient, name: str) -> None:
    """Ask for the removal; the topic may be gone already."""
    request = DeleteTopicsRequest(topics=[DeleteTopicState(name=name)], timeout_ms=10_000)
    client.call(request, 6)
