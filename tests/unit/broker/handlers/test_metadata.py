"""The metadata handler: automatic creation, and brokers as this listener's clients see them."""

import pathlib
from typing import Any

import pytest

from tests.handler_bench import HandlerBench
from tests.metadata_cluster import applied, with_topic
from tierbroker.base.errors import NotControllerError
from tierbroker.broker.handlers import metadata
from tierbroker.controller.state.brokers import fence_broker
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.metadata import decode_response
from tierbroker.wire.metadata import (
    MetadataRequest,
    MetadataRequestTopic,
    encode_metadata_response,
)

OK = ErrorCode.NONE


async def ask(bench: HandlerBench, *names: str, listener: str = "PLAINTEXT", **how: Any) -> Any:
    version = how.pop("version", 12)
    request = MetadataRequest(topics=[MetadataRequestTopic(name=name) for name in names], **how)
    response = metadata.handle(request, bench.context(version, listener))
    return as_read(response if not hasattr(response, "__await__") else await response, version)


def as_read(response: Any, version: int) -> Any:
    """The answer as a client reads it."""
    (answer,) = encode_metadata_response(response, version)
    return decode_response(answer, 0, version)[0]


async def test_a_missing_topic_is_made(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path, num_partitions="1")
    (entry,) = (await ask(bench, "new")).topics
    assert (entry.error_code, len(entry.partitions)) == (OK, 1)
    assert bench.controller.image.topic("new") is not None
    assert bench.services.auto_creating == {}


@pytest.mark.parametrize(("setting", "flag"), [("false", True), ("true", False), ("false", False)])
async def test_both_sides_must_allow_it(tmp_path: pathlib.Path, setting: str, flag: bool) -> None:
    bench = HandlerBench(tmp_path, auto_create_topics_enable=setting)
    (entry,) = (await ask(bench, "new", allow_auto_topic_creation=flag)).topics
    assert entry.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert bench.controller.image.topic("new") is None


async def test_a_creation_that_fails_says_why(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path)
    bench.controller.failure = NotControllerError("elsewhere")
    (entry,) = (await ask(bench, "new")).topics
    assert entry.error_code == ErrorCode.NOT_CONTROLLER
    assert bench.services.auto_creating == {}


async def test_an_illegal_name_is_not_submitted(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path)
    first, second = (await ask(bench, "a b", "good")).topics
    assert (first.error_code, second.error_code) == (ErrorCode.INVALID_TOPIC_EXCEPTION, OK)


async def test_clients_see_their_own_listener(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path, brokers=2)
    bench.controller.image = with_topic(bench.controller.image, "t", (1, 2))
    seen = await ask(bench, "t")
    assert [(broker.node_id, broker.port) for broker in seen.brokers] == [(1, 9093), (2, 9094)]
    assert seen.topics[0].partitions[0].leader_id == 1
    elsewhere = await ask(bench, "t", listener="INTERNAL")
    (partition,) = elsewhere.topics[0].partitions
    assert elsewhere.brokers == []
    assert (partition.error_code, partition.leader_id) == (ErrorCode.LISTENER_NOT_FOUND, -1)


async def test_a_fenced_broker_is_offline(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path, brokers=2)
    image = with_topic(bench.controller.image, "t", (2, 1), (2,))
    fencing = fence_broker(image, 2, image.brokers[2].epoch)
    bench.controller.image = applied(image, fencing)
    seen = await ask(bench, "t")
    assert [broker.node_id for broker in seen.brokers] == [1]
    moved, orphan = seen.topics[0].partitions
    assert (moved.leader_id, moved.offline_replicas) == (1, [2])
    assert (orphan.error_code, orphan.leader_id) == (ErrorCode.LEADER_NOT_AVAILABLE, -1)


async def test_a_partition_on_a_lost_disk_is_offline(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path, brokers=2)
    bench.controller.image = with_topic(bench.controller.image, "t", (1, 2), (2, 1))
    bench.log_dirs.lost = True
    for _ in range(2):
        own, other = (await ask(bench, "t")).topics[0].partitions
        offline = bench.log_dirs.lost
        expected = (ErrorCode.LEADER_NOT_AVAILABLE, -1, [1]) if offline else (0, 1, [])
        assert (own.error_code, own.leader_id, own.offline_replicas) == expected
        assert (other.leader_id, other.offline_replicas) == (2, [1] if offline else [])
        bench.log_dirs.lost = False


async def test_operations_only_when_asked_for(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path)
    bench.add_topic("t")
    plain = await ask(bench, "t", version=9)
    assert plain.cluster_authorized_operations == plain.topics[0].topic_authorized_operations
    assert plain.cluster_authorized_operations < 0
    full = await ask(
        bench,
        "t",
        version=9,
        include_cluster_authorized_operations=True,
        include_topic_authorized_operations=True,
    )
    assert full.cluster_authorized_operations > 0
    assert full.topics[0].topic_authorized_operations > 0


async def test_a_topic_that_is_asked_for_twice_is_told_once(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path)
    assert len((await ask(bench, "t", "t")).topics) == 1


async def test_names_beside_ids_are_not_looked_at(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path)
    bench.controller.image = with_topic(bench.controller.image, "t", (1,))
    (topic,) = bench.controller.image.topics
    asked = [
        MetadataRequestTopic(topic_id=topic.topic_id, name="other"),
        MetadataRequestTopic(name="new"),
    ]
    response = metadata.handle(MetadataRequest(topics=asked), bench.context(12, "PLAINTEXT"))
    assert [entry.name for entry in as_read(response, 12).topics] == ["t"]
    assert bench.controller.image.topic("new") is None
