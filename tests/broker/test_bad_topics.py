"""Topics, settings and coordinators that cannot be had: the code of each refusal.

Expectations are Apache Kafka 4.3's: `pytest --kafka-bootstrap` puts the same tests to it.
"""

from collections.abc import Callable
from typing import Any

import pytest

from tests.broker.wire_calls import EARLIEST, create_topic, list_offsets, metadata_of, topic_id_of
from tests.broker.wire_client import WireClient
from tierbroker.base.ids import ZERO_UUID, Uuid
from tierbroker.testing.target import BrokerTarget
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.create_partitions import (
    CreatePartitionsAssignment,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
)
from tierbroker.wire.messages.create_topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)
from tierbroker.wire.messages.delete_topics import DeleteTopicsRequest, DeleteTopicState
from tierbroker.wire.messages.describe_cluster import DescribeClusterRequest
from tierbroker.wire.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
)
from tierbroker.wire.messages.describe_topic_partitions import (
    DescribeTopicPartitionsRequest,
    RequestCursor,
    TopicRequest,
)
from tierbroker.wire.messages.find_coordinator import FindCoordinatorRequest
from tierbroker.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from tierbroker.wire.messages.metadata import MetadataRequest, MetadataRequestTopic

OK = ErrorCode.NONE
NOBODYS_ID = Uuid(bytes(range(16)))
ILLEGAL = [".", "..", "a b", "a/b", "übung", "x" * 250, "a\0b", "a:b"]
TOPIC, BROKER = 2, 4
SET = 0


def codes(topics: Any) -> list[ErrorCode]:
    return [ErrorCode(topic.error_code) for topic in topics]


# -- Metadata ---------------------------------------------------------------------------------


def test_null_means_all_topics_and_none_means_none(client: WireClient, topic: str) -> None:
    everything = client.call(MetadataRequest(topics=None), 12)
    assert topic in {entry.name for entry in everything.topics}
    assert client.call(MetadataRequest(topics=[]), 12).topics == []
    # Version 0 knew no null: there, none means all.
    assert topic in {entry.name for entry in client.call(MetadataRequest(topics=[]), 0).topics}


@pytest.mark.parametrize("version", range(4, 14))
def test_an_unknown_topic_that_may_not_be_made(client: WireClient, version: int) -> None:
    (entry,) = metadata_of(client, "not-to-be-made", version=version).topics
    assert (entry.error_code, entry.partitions) == (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, [])
    names = {entry.name for entry in client.call(MetadataRequest(topics=None), 12).topics}
    assert "not-to-be-made" not in names


@pytest.mark.parametrize("auto_create", [False, True])
@pytest.mark.parametrize("name", ILLEGAL)
def test_an_illegal_name_is_named_so(client: WireClient, name: str, auto_create: bool) -> None:
    (entry,) = metadata_of(client, name, auto_create=auto_create).topics
    assert (entry.error_code, entry.name) == (ErrorCode.INVALID_TOPIC_EXCEPTION, name)


def test_an_illegal_name_does_not_spoil_the_others(client: WireClient, topic: str) -> None:
    answer = metadata_of(client, "a b", topic)
    found = {entry.name: entry.error_code for entry in answer.topics}
    assert found == {"a b": ErrorCode.INVALID_TOPIC_EXCEPTION, topic: OK}


def test_topics_by_id(client: WireClient, topic: str) -> None:
    answer = metadata_of(client, ids=[topic_id_of(client, topic), NOBODYS_ID])
    found = {bytes(entry.topic_id): (entry.error_code, entry.name) for entry in answer.topics}
    assert found == {
        topic_id_of(client, topic): (OK, topic),
        NOBODYS_ID: (ErrorCode.UNKNOWN_TOPIC_ID, None),
    }


@pytest.mark.parametrize("version", [10, 11])
def test_topics_by_id_before_their_version(client: WireClient, topic: str, version: int) -> None:
    request = MetadataRequest(
        topics=[MetadataRequestTopic(topic_id=topic_id_of(client, topic), name=topic)]
    )
    (entry,) = client.call(request, version).topics
    assert entry.error_code == ErrorCode.INVALID_REQUEST


def test_neither_name_nor_id(client: WireClient, kafka_broker: BrokerTarget) -> None:
    if not kafka_broker.embedded:
        pytest.skip("Apache Kafka stumbles over it: UNKNOWN_SERVER_ERROR")
    (entry,) = metadata_of(client, ids=[ZERO_UUID]).topics
    assert entry.error_code == ErrorCode.INVALID_REQUEST


# -- CreateTopics -----------------------------------------------------------------------------


def creation(client: WireClient, version: int = 7, **topic: Any) -> ErrorCode:
    asked = {"name": "never-made", "num_partitions": 1, "replication_factor": 1, **topic}
    request = CreateTopicsRequest(topics=[CreatableTopic(**asked)], timeout_ms=10_000)
    (result,) = client.call(request, version).topics
    if result.error_code != OK:
        assert result.error_message
    return ErrorCode(result.error_code)


@pytest.mark.parametrize("version", [2, 4, 5, 7])
@pytest.mark.parametrize("name", [*ILLEGAL, ""])
def test_an_illegal_name_is_not_made(client: WireClient, name: str, version: int) -> None:
    assert creation(client, version, name=name) == ErrorCode.INVALID_TOPIC_EXCEPTION


def settings_of(**values: str | None) -> dict[str, Any]:
    configs = [
        CreatableTopicConfig(name=key.replace("_", "."), value=value)
        for key, value in values.items()
    ]
    return {"configs": configs}


def assigned(*replicas: list[int], first: int = 0) -> dict[str, Any]:
    assignments = [
        CreatableReplicaAssignment(partition_index=index, broker_ids=brokers)
        for index, brokers in enumerate(replicas, first)
    ]
    return {"num_partitions": -1, "replication_factor": -1, "assignments": assignments}


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"num_partitions": 0}, ErrorCode.INVALID_PARTITIONS),
        ({"num_partitions": -2}, ErrorCode.INVALID_PARTITIONS),
        ({"num_partitions": 2**31 - 1}, ErrorCode.POLICY_VIOLATION),
        ({"replication_factor": 0}, ErrorCode.INVALID_REPLICATION_FACTOR),
        ({"replication_factor": -2}, ErrorCode.INVALID_REPLICATION_FACTOR),
        ({"replication_factor": 2}, ErrorCode.INVALID_REPLICATION_FACTOR),
        (settings_of(no_such_key="1"), ErrorCode.INVALID_CONFIG),
        (settings_of(retention_ms="soon"), ErrorCode.INVALID_CONFIG),
        (settings_of(retention_ms=None), ErrorCode.INVALID_CONFIG),
        (settings_of(cleanup_policy="shred"), ErrorCode.INVALID_CONFIG),
        (
            settings_of(min_compaction_lag_ms="100", max_compaction_lag_ms="10"),
            ErrorCode.INVALID_CONFIG,
        ),
        (settings_of(remote_storage_enable="true"), ErrorCode.INVALID_CONFIG),
        (assigned([99]), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        (assigned([]), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        (assigned([1, 1]), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        (assigned([1], first=3), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ({**assigned([1]), "num_partitions": 1}, ErrorCode.INVALID_REQUEST),
        ({**assigned([1]), "replication_factor": 1}, ErrorCode.INVALID_REQUEST),
    ],
)
def test_a_topic_that_cannot_be_made(
    client: WireClient, asked: dict[str, Any], code: ErrorCode
) -> None:
    assert creation(client, **asked) == code
    (entry,) = metadata_of(client, "never-made").topics
    assert entry.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_a_topic_that_is_there(client: WireClient, topic: str) -> None:
    assert creation(client, name=topic) == ErrorCode.TOPIC_ALREADY_EXISTS


def test_names_that_metrics_would_confuse(
    client: WireClient, make_topic: Callable[..., str]
) -> None:
    name = make_topic().replace("-", ".")
    create_topic(client, name)
    try:
        assert creation(client, name=name.replace(".", "_")) == ErrorCode.INVALID_TOPIC_EXCEPTION
    finally:
        assert deletion(client, name=name) == OK


def test_a_topic_asked_for_twice(client: WireClient) -> None:
    twice = [CreatableTopic(name="twice", num_partitions=1, replication_factor=1)] * 2
    response = client.call(CreateTopicsRequest(topics=twice, timeout_ms=10_000), 7)
    assert set(codes(response.topics)) == {ErrorCode.INVALID_REQUEST}


def test_settings_that_contradict_each_other_are_not_taken(client: WireClient, topic: str) -> None:
    def change(name: str, value: str) -> AlterableConfig:
        return AlterableConfig(name=name, config_operation=SET, value=value)

    resource = AlterConfigsResource(
        resource_type=TOPIC,
        resource_name=topic,
        configs=[change("min.compaction.lag.ms", "100"), change("max.compaction.lag.ms", "10")],
    )
    (answer,) = client.call(IncrementalAlterConfigsRequest(resources=[resource]), 1).responses
    assert answer.error_code == ErrorCode.INVALID_CONFIG


# -- DeleteTopics and CreatePartitions --------------------------------------------------------


def deletion(client: WireClient, name: str | None = None, topic_id: Uuid = ZERO_UUID) -> ErrorCode:
    asked = DeleteTopicState(name=name, topic_id=topic_id)
    response = client.call(DeleteTopicsRequest(topics=[asked], timeout_ms=10_000), 6)
    (code,) = codes(response.responses)
    return code


def test_deleting_what_is_not_there(client: WireClient) -> None:
    assert deletion(client, name="no-such-topic") == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert deletion(client, name="a b") == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert deletion(client, topic_id=NOBODYS_ID) == ErrorCode.UNKNOWN_TOPIC_ID
    assert deletion(client) == ErrorCode.INVALID_REQUEST


def test_deleting_by_name_and_id_at_once(client: WireClient, topic: str) -> None:
    topic_id = topic_id_of(client, topic)
    assert deletion(client, name=topic, topic_id=topic_id) == ErrorCode.INVALID_REQUEST
    assert list_offsets(client, topic, EARLIEST).error_code == OK
    assert deletion(client, topic_id=topic_id) == OK


@pytest.mark.parametrize("version", [1, 5])
def test_deleting_by_the_names_of_old_versions(
    client: WireClient, topic: str, version: int
) -> None:
    request = DeleteTopicsRequest(topic_names=["no-such-topic", topic], timeout_ms=10_000)
    found = {entry.name: entry.error_code for entry in client.call(request, version).responses}
    assert found == {"no-such-topic": ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, topic: OK}


def more_partitions(
    client: WireClient, name: str, count: int, *replicas: list[int], version: int = 3
) -> ErrorCode:
    assignments = [CreatePartitionsAssignment(broker_ids=brokers) for brokers in replicas]
    asked = CreatePartitionsTopic(name=name, count=count, assignments=assignments or None)
    request = CreatePartitionsRequest(topics=[asked], timeout_ms=10_000)
    (code,) = codes(client.call(request, version).results)
    return code


@pytest.mark.parametrize("version", [0, 3])
def test_partitions_that_cannot_be_added(
    client: WireClient, make_topic: Callable[..., str], version: int
) -> None:
    topic = make_topic(2)
    unknown = more_partitions(client, "no-such-topic", 3, version=version)
    assert unknown == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    for count in (2, 1, 0, -1):
        refused = more_partitions(client, topic, count, version=version)
        assert refused == ErrorCode.INVALID_PARTITIONS
    for replicas in ([[1], [1]], [[99]], [[]], [[1, 1]]):
        refused = more_partitions(client, topic, 3, *replicas, version=version)
        assert refused == ErrorCode.INVALID_REPLICA_ASSIGNMENT
    assert len(metadata_of(client, topic).topics[0].partitions) == 2


def test_more_partitions_than_one_request_may_ask_for(client: WireClient, topic: str) -> None:
    refused = more_partitions(client, topic, 2**31 - 1)
    # Apache Kafka fails to list that many.
    assert refused in (ErrorCode.POLICY_VIOLATION, ErrorCode.UNKNOWN_SERVER_ERROR)


# -- DescribeConfigs, DescribeCluster, DescribeTopicPartitions ---------------------------------


def description(client: WireClient, kind: int, name: str, keys: Any = None) -> Any:
    resource = DescribeConfigsResource(
        resource_type=kind, resource_name=name, configuration_keys=keys
    )
    (result,) = client.call(DescribeConfigsRequest(resources=[resource]), 4).results
    return result


@pytest.mark.parametrize(
    ("kind", "name", "code"),
    [
        (TOPIC, "no-such-topic", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (TOPIC, "a b", ErrorCode.INVALID_TOPIC_EXCEPTION),
        (TOPIC, "", ErrorCode.INVALID_TOPIC_EXCEPTION),
        (BROKER, "99", ErrorCode.INVALID_REQUEST),
        (BROKER, "one", ErrorCode.INVALID_REQUEST),
        (0, "x", ErrorCode.INVALID_REQUEST),
        (3, "x", ErrorCode.INVALID_REQUEST),
        (77, "x", ErrorCode.INVALID_REQUEST),
        (-1, "x", ErrorCode.INVALID_REQUEST),
    ],
)
def test_settings_of_what_is_not_there(
    client: WireClient, kind: int, name: str, code: ErrorCode
) -> None:
    result = description(client, kind, name)
    assert (result.error_code, result.configs) == (code, [])


def test_settings_that_nobody_knows_are_left_out(client: WireClient, topic: str) -> None:
    result = description(client, TOPIC, topic, ["retention.ms", "no.such.key"])
    assert [entry.name for entry in result.configs] == ["retention.ms"]


@pytest.mark.parametrize(
    ("endpoint_type", "code"),
    [
        (2, ErrorCode.MISMATCHED_ENDPOINT_TYPE),
        (0, ErrorCode.UNSUPPORTED_ENDPOINT_TYPE),
        (9, ErrorCode.UNSUPPORTED_ENDPOINT_TYPE),
    ],
)
def test_a_cluster_of_another_kind(client: WireClient, endpoint_type: int, code: ErrorCode) -> None:
    answer = client.call(DescribeClusterRequest(endpoint_type=endpoint_type), 1)
    assert (answer.error_code, answer.brokers) == (code, [])


def pages(
    client: WireClient, *names: str, cursor: RequestCursor | None = None, limit: int = 2
) -> Any:
    request = DescribeTopicPartitionsRequest(
        topics=[TopicRequest(name=name) for name in names],
        response_partition_limit=limit,
        cursor=cursor,
    )
    return client.call(request, 0)


@pytest.mark.parametrize("limit", [2, 1, 0, -1])
def test_paging_comes_to_an_end(
    client: WireClient, make_topic: Callable[..., str], limit: int
) -> None:
    topic = make_topic(5)
    seen: list[int] = []
    cursor = None
    for _ in range(6):
        answer = pages(client, topic, cursor=cursor, limit=limit)
        seen += [part.partition_index for entry in answer.topics for part in entry.partitions]
        if answer.next_cursor is None:
            break
        cursor = RequestCursor(answer.next_cursor.topic_name, answer.next_cursor.partition_index)
    assert seen == [0, 1, 2, 3, 4]


def test_a_page_of_topics_that_are_not_there(client: WireClient) -> None:
    answer = pages(client, "no-such-topic", "a b")
    found = {entry.name: entry.error_code for entry in answer.topics}
    assert found["no-such-topic"] == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert found["a b"] in (
        ErrorCode.INVALID_TOPIC_EXCEPTION,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    )


@pytest.mark.parametrize("place", [("other", 0), (None, -1), (None, -(2**31))])
def test_a_cursor_that_points_nowhere(
    client: WireClient, topic: str, place: tuple[str | None, int]
) -> None:
    cursor = RequestCursor(topic_name=place[0] or topic, partition_index=place[1])
    answer = pages(client, topic, cursor=cursor)
    assert codes(answer.topics) == [ErrorCode.INVALID_REQUEST]


def test_a_cursor_beyond_the_last_partition(
    client: WireClient, topic: str, kafka_broker: BrokerTarget
) -> None:
    if not kafka_broker.embedded:
        pytest.skip("Apache Kafka's sum of cursor and limit overflows")
    answer = pages(client, topic, cursor=RequestCursor(topic_name=topic, partition_index=2**31 - 1))
    assert answer.next_cursor is None
    assert [part for entry in answer.topics for part in entry.partitions] == []


# -- FindCoordinator --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [3, 9, -1])
def test_a_coordinator_of_an_unknown_kind(client: WireClient, kind: int) -> None:
    request = FindCoordinatorRequest(coordinator_keys=["a"], key_type=kind)
    (code,) = codes(client.call(request, 4).coordinators)
    assert code == ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("version", [2, 4, 7])
def test_a_name_so_long_that_no_message_can_quote_it(
    client: WireClient, kafka_broker: BrokerTarget, version: int
) -> None:
    if not kafka_broker.embedded:
        pytest.skip("Apache Kafka fails to quote it: UNKNOWN_SERVER_ERROR")
    assert creation(client, version, name="x" * 32_767) == ErrorCode.INVALID_TOPIC_EXCEPTION
    asked = settings_of(**{"k" * 32_767: "1"})
    assert creation(client, version, **asked) == ErrorCode.INVALID_CONFIG


@pytest.mark.parametrize("version", [0, 1, 3])
def test_a_long_name_of_a_topic_that_is_to_grow(
    client: WireClient, kafka_broker: BrokerTarget, version: int
) -> None:
    if not kafka_broker.embedded:
        pytest.skip("Apache Kafka fails to quote it: UNKNOWN_SERVER_ERROR")
    refused = more_partitions(client, "x" * 32_767, 3, version=version)
    assert refused == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


@pytest.mark.parametrize("version", [1, 3, 4])
def test_settings_of_a_resource_with_a_long_name(
    client: WireClient, kafka_broker: BrokerTarget, version: int
) -> None:
    if not kafka_broker.embedded:
        pytest.skip("Apache Kafka fails to quote it: UNKNOWN_SERVER_ERROR")
    resource = DescribeConfigsResource(
        resource_type=TOPIC, resource_name="x" * 32_767, configuration_keys=None
    )
    (result,) = client.call(DescribeConfigsRequest(resources=[resource]), version).results
    assert result.error_code == ErrorCode.INVALID_TOPIC_EXCEPTION
