"""Admin requests about what is not there, and against all sense: the code of each refusal.

Expectations are Apache Kafka 4.3's: `pytest --kafka-bootstrap` puts the same tests to it. Both
are clusters of one, whose broker has the id 1.
"""

from typing import Any

import pytest

from tests.broker.wire_calls import batch_of, produce
from tests.broker.wire_client import WireClient
from tierbroker.testing.target import BrokerTarget
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    ReassignablePartition,
    ReassignableTopic,
)
from tierbroker.wire.messages.alter_replica_log_dirs import (
    AlterReplicaLogDir,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirTopic,
)
from tierbroker.wire.messages.describe_log_dirs import (
    DescribableLogDirTopic,
    DescribeLogDirsRequest,
)
from tierbroker.wire.messages.describe_producers import DescribeProducersRequest, TopicRequest
from tierbroker.wire.messages.describe_quorum import (
    DescribeQuorumRequest,
    RequestPartitionData,
    RequestTopicData,
)
from tierbroker.wire.messages.elect_leaders import ElectLeadersRequest, TopicPartitions
from tierbroker.wire.messages.list_config_resources import ListConfigResourcesRequest
from tierbroker.wire.messages.list_partition_reassignments import (
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsTopics,
)
from tierbroker.wire.messages.update_features import FeatureUpdateKey, UpdateFeaturesRequest

OK = ErrorCode.NONE
UNKNOWN = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
MINE = 1


def code(number: int) -> ErrorCode:
    return ErrorCode(number)


# -- ElectLeaders -----------------------------------------------------------------------------


def election(client: WireClient, topics: Any, version: int = 2, **how: Any) -> tuple[int, Any]:
    asked = None if topics is None else [TopicPartitions(*topic) for topic in topics]
    request = ElectLeadersRequest(topic_partitions=asked, timeout_ms=10_000)
    for name, value in how.items():
        setattr(request, name, value)
    answer = client.call(request, version)
    return code(answer.error_code), [
        (entry.topic, [(one.partition_id, code(one.error_code)) for one in entry.partition_result])
        for entry in answer.replica_election_results
    ]


@pytest.mark.parametrize("version", [0, 1, 2])
def test_an_election_that_nobody_needs(client: WireClient, topic: str, version: int) -> None:
    found = election(client, [(topic, [0, 0])], version)
    assert found == (OK, [(topic, [(0, ErrorCode.ELECTION_NOT_NEEDED)] * 2)])


@pytest.mark.parametrize("election_type", [0, 1])
def test_an_election_of_everybody_tells_of_nobody(
    client: WireClient, topic: str, election_type: int
) -> None:
    error, results = election(client, None, election_type=election_type)
    assert error == OK
    assert (topic, []) in results
    assert not any(partitions for _, partitions in results)


def test_elections_in_what_is_not_there(client: WireClient, topic: str) -> None:
    asked = [("nowhere", [0]), (topic, [9, -1]), ("a b", [0]), ("", [0]), (topic, [])]
    expected = [(name, [(number, UNKNOWN) for number in numbers]) for name, numbers in asked]
    assert election(client, asked) == (OK, expected)
    assert election(client, []) == (OK, [])


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ({"election_type": 7}, ErrorCode.INVALID_REQUEST),
        ({"election_type": -1}, ErrorCode.INVALID_REQUEST),
        ({"timeout_ms": 0}, ErrorCode.REQUEST_TIMED_OUT),
        ({"timeout_ms": -1}, ErrorCode.REQUEST_TIMED_OUT),
    ],
)
def test_an_election_that_cannot_be_held(
    client: WireClient, topic: str, how: dict[str, int], error: ErrorCode
) -> None:
    assert election(client, [(topic, [0])], **how) == (error, [(topic, [(0, error)])])


@pytest.mark.parametrize(("version", "told"), [(0, OK), (1, ErrorCode.REQUEST_TIMED_OUT)])
def test_an_election_without_time_in_old_versions(
    client: WireClient, topic: str, version: int, told: ErrorCode
) -> None:
    late = ErrorCode.REQUEST_TIMED_OUT
    assert election(client, [(topic, [0])], version, timeout_ms=0) == (told, [(topic, [(0, late)])])


# -- AlterPartitionReassignments, ListPartitionReassignments ------------------------------------


def reassignment(
    client: WireClient, topic: str, index: int, replicas: list[int] | None, **how: Any
) -> tuple[ErrorCode, ErrorCode]:
    partition = ReassignablePartition(index, replicas)
    request = AlterPartitionReassignmentsRequest(
        topics=[ReassignableTopic(topic, [partition])], timeout_ms=10_000
    )
    for name, value in how.items():
        setattr(request, name, value)
    answer = client.call(request, 1)
    ((result,),) = (entry.partitions for entry in answer.responses)
    return code(answer.error_code), code(result.error_code)


@pytest.mark.parametrize(
    ("replicas", "error"),
    [
        ([MINE], OK),
        (None, ErrorCode.NO_REASSIGNMENT_IN_PROGRESS),
        ([], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ([99], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ([-1], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ([MINE, 99], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ([MINE, MINE], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
    ],
)
@pytest.mark.parametrize("change", [True, False])
def test_where_a_partition_may_go(
    client: WireClient, topic: str, replicas: list[int] | None, error: ErrorCode, change: bool
) -> None:
    found = reassignment(client, topic, 0, replicas, allow_replication_factor_change=change)
    assert found == (OK, error)


@pytest.mark.parametrize("replicas", [[MINE], None, []])
@pytest.mark.parametrize(("name", "index"), [("nowhere", 0), ("a b", 0), ("", 0), ("", -1)])
def test_a_partition_that_cannot_go_anywhere(
    client: WireClient, name: str, index: int, replicas: list[int] | None
) -> None:
    assert reassignment(client, name, index, replicas) == (OK, UNKNOWN)


@pytest.mark.parametrize("index", [9, -1, 2**31 - 1])
def test_reassigning_a_partition_that_is_not_there(
    client: WireClient, topic: str, index: int
) -> None:
    assert reassignment(client, topic, index, [MINE]) == (OK, UNKNOWN)


@pytest.mark.parametrize("timeout_ms", [0, -1])
def test_a_reassignment_without_time(client: WireClient, topic: str, timeout_ms: int) -> None:
    late = ErrorCode.REQUEST_TIMED_OUT
    assert reassignment(client, topic, 0, [MINE], timeout_ms=timeout_ms) == (late, late)


@pytest.mark.parametrize("asked", [None, [], [("nowhere", [0])], [("a b", [0])], [("", [])]])
def test_reassignments_under_way(client: WireClient, asked: Any) -> None:
    topics = None if asked is None else [ListPartitionReassignmentsTopics(*one) for one in asked]
    answer = client.call(ListPartitionReassignmentsRequest(topics=topics, timeout_ms=10_000), 0)
    assert (code(answer.error_code), answer.error_message, answer.topics) == (OK, None, [])


# -- DescribeLogDirs, AlterReplicaLogDirs -------------------------------------------------------


def log_dirs(client: WireClient, topics: Any, version: int = 5) -> Any:
    asked = None if topics is None else [DescribableLogDirTopic(*topic) for topic in topics]
    answer = client.call(DescribeLogDirsRequest(topics=asked), version)
    assert code(answer.error_code) == OK
    (only,) = answer.results
    assert code(only.error_code) == OK
    assert not only.is_cordoned
    return only


@pytest.mark.parametrize("version", range(1, 6))
def test_how_much_of_the_disk_a_partition_takes(
    client: WireClient, topic: str, version: int
) -> None:
    batch = batch_of([b"x" * 1000])
    assert code(produce(client, topic, batch).error_code) == OK
    found = log_dirs(client, [(topic, [0, 0]), (topic, [0])], version)
    ((partition,),) = (entry.partitions for entry in found.topics)
    assert (partition.partition_index, partition.partition_size) == (0, len(batch))
    assert (partition.offset_lag, partition.is_future_key) == (0, False)
    if version >= 4:
        assert 0 < found.usable_bytes < found.total_bytes


@pytest.mark.parametrize(
    "asked", [[], [("nowhere", [0])], [("a b", [0]), ("", [0])], [("__cluster_metadata", [0])]]
)
def test_partitions_that_lie_nowhere(client: WireClient, asked: Any) -> None:
    assert log_dirs(client, asked).topics == []


def test_all_partitions_lie_somewhere(client: WireClient, topic: str) -> None:
    assert log_dirs(client, [(topic, [9, -1]), (topic, [])]).topics == []
    assert topic in {entry.name for entry in log_dirs(client, None).topics}


def moves(client: WireClient, *asked: tuple[str, str, list[int]], version: int = 2) -> Any:
    dirs = [
        AlterReplicaLogDir(path, [AlterReplicaLogDirTopic(name, indexes)])
        for path, name, indexes in asked
    ]
    answer = client.call(AlterReplicaLogDirsRequest(dirs=dirs), version)
    return {
        (entry.topic_name, one.partition_index): code(one.error_code)
        for entry in answer.results
        for one in entry.partitions
    }


@pytest.mark.parametrize("version", [1, 2])
def test_a_replica_that_is_to_go_where_it_is(client: WireClient, topic: str, version: int) -> None:
    path = log_dirs(client, []).log_dir
    assert moves(client, (path, topic, [0]), version=version) == {(topic, 0): OK}
    assert moves(client, version=version) == {}


def test_replicas_that_are_not_there(client: WireClient, topic: str) -> None:
    path = log_dirs(client, []).log_dir
    unknown = {(topic, 9): UNKNOWN, (topic, -1): UNKNOWN}
    assert moves(client, (path, topic, [9, -1])) == unknown
    for name in ("nowhere", "a b", "", "__cluster_metadata"):
        assert moves(client, (path, name, [0])) == {(name, 0): UNKNOWN}


def test_directories_that_are_not_there(client: WireClient, topic: str) -> None:
    path = log_dirs(client, []).log_dir
    for wrong in ("/nowhere", "", path + "/", "data", "../data", path + "\0"):
        found = moves(client, (wrong, topic, [0, 9]), (wrong, "nowhere", [0]))
        assert set(found.values()) == {ErrorCode.LOG_DIR_NOT_FOUND}
        assert len(found) == 3


# -- DescribeProducers --------------------------------------------------------------------------


def producers(client: WireClient, topic: str, *indexes: int) -> list[Any]:
    request = DescribeProducersRequest(topics=[TopicRequest(topic, list(indexes))])
    (answer,) = client.call(request, 0).topics
    # Named twice: Kafka describes it twice, we do once, for producers take more room than a name.
    found = [one.partition_index for one in answer.partitions]
    assert found in (list(indexes), list(dict.fromkeys(indexes)))
    return list(answer.partitions)


def test_the_producers_of_a_partition(client: WireClient, topic: str) -> None:
    batch = batch_of([b"a", b"b"], producer_id=7_000, producer_epoch=3, base_sequence=0)
    assert code(produce(client, topic, batch).error_code) == OK
    answer, *again = producers(client, topic, 0, 0)
    assert again in ([], [answer])
    (state,) = answer.active_producers
    assert (state.producer_id, state.producer_epoch, state.last_sequence) == (7_000, 3, 1)
    assert (state.coordinator_epoch, state.current_txn_start_offset) == (-1, -1)


def test_producers_of_what_is_not_there(client: WireClient, topic: str) -> None:
    places = [(topic, 9), (topic, -1), ("nowhere", 0), ("__cluster_metadata", 0)]
    for name, index in places:
        (answer,) = producers(client, name, index)
        assert (code(answer.error_code), answer.active_producers) == (UNKNOWN, [])
    for name in ("a b", "", "x" * 250):
        (answer,) = producers(client, name, 0)
        assert code(answer.error_code) == ErrorCode.INVALID_TOPIC_EXCEPTION


# -- DescribeQuorum -----------------------------------------------------------------------------

METADATA = "__cluster_metadata"


def quorum(client: WireClient, version: int, *asked: tuple[str, list[int]]) -> Any:
    topics = [
        RequestTopicData(name, [RequestPartitionData(index) for index in indexes])
        for name, indexes in asked
    ]
    answer = client.call(DescribeQuorumRequest(topics=topics), version)
    assert code(answer.error_code) == OK
    return answer


@pytest.mark.parametrize("version", [0, 1, 2])
def test_the_quorum_of_one(client: WireClient, version: int) -> None:
    answer = quorum(client, version, (METADATA, [0]))
    ((partition,),) = (entry.partitions for entry in answer.topics)
    assert (code(partition.error_code), partition.leader_id) == (OK, MINE)
    assert partition.leader_epoch > 0
    (voter,) = partition.current_voters
    assert voter.replica_id == MINE
    assert voter.log_end_offset >= partition.high_watermark > 0
    assert (voter.last_fetch_timestamp > 0) == (version >= 1)
    assert any(voter.replica_directory_id) == (version >= 2)
    assert partition.observers == []
    assert [node.node_id for node in answer.nodes] == [MINE] * (version >= 2)


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize(
    "asked",
    [
        [],
        [("nowhere", [0])],
        [(METADATA, [])],
        [(METADATA, [1])],
        [(METADATA, [-1])],
        [(METADATA, [0, 0])],
        [(METADATA, [0]), ("nowhere", [0])],
    ],
)
def test_what_has_no_quorum(client: WireClient, version: int, asked: Any) -> None:
    answer = quorum(client, version, *asked)
    found = [
        (entry.topic_name, [(one.partition_index, one.error_code) for one in entry.partitions])
        for entry in answer.topics
    ]
    assert found == [(name, [(index, UNKNOWN) for index in indexes]) for name, indexes in asked]
    assert answer.nodes == []


# -- UpdateFeatures -----------------------------------------------------------------------------

UPGRADE, SAFE, UNSAFE = 1, 2, 3


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize(
    ("name", "level", "kind"),
    [
        ("no.such.feature", 3, UPGRADE),
        ("no.such.feature", 0, SAFE),
        ("", 3, UPGRADE),
        ("metadata.version", 99, UPGRADE),
        ("metadata.version", 29, UPGRADE),
        ("metadata.version", 29, SAFE),
        ("metadata.version", 29, UNSAFE),
        ("metadata.version", 0, SAFE),
        ("metadata.version", -1, UPGRADE),
        ("kraft.version", 0, SAFE),
        ("kraft.version", 2, UPGRADE),
    ],
)
def test_a_feature_that_cannot_be_had(
    client: WireClient, version: int, name: str, level: int, kind: int
) -> None:
    how: dict[str, Any] = {"upgrade_type": kind}
    if version == 0:
        how = {"allow_downgrade": kind != UPGRADE}
    same = FeatureUpdateKey("metadata.version", 30)
    request = UpdateFeaturesRequest(feature_updates=[same, FeatureUpdateKey(name, level, **how)])
    answer = client.call(request, version)
    assert code(answer.error_code) == ErrorCode.INVALID_UPDATE_VERSION
    assert answer.error_message
    assert answer.results == []


@pytest.mark.parametrize("kind", [0, 9, -1])
def test_an_update_of_a_feature_that_is_of_no_kind(client: WireClient, kind: int) -> None:
    update = FeatureUpdateKey("metadata.version", 30, upgrade_type=kind)
    answer = client.call(UpdateFeaturesRequest(feature_updates=[update]), 2)
    assert code(answer.error_code) == ErrorCode.INVALID_UPDATE_VERSION


@pytest.mark.parametrize("version", [0, 1, 2])
def test_an_update_that_changes_nothing(client: WireClient, version: int) -> None:
    updates = [FeatureUpdateKey("metadata.version", 30)]
    answer = client.call(UpdateFeaturesRequest(feature_updates=updates), version)
    assert code(answer.error_code) == OK
    named = [(entry.feature, entry.error_code) for entry in answer.results]
    assert named == [("metadata.version", OK)] * (version < 2)


# -- ListConfigResources ------------------------------------------------------------------------


@pytest.mark.parametrize("kinds", [[0], [3], [99], [-1], [2, 99]])
def test_resources_of_a_kind_that_nobody_knows(client: WireClient, kinds: list[int]) -> None:
    answer = client.call(ListConfigResourcesRequest(resource_types=kinds), 1)
    assert code(answer.error_code) == ErrorCode.UNSUPPORTED_VERSION
    assert answer.config_resources == []


def test_resources_that_can_be_configured(
    client: WireClient, topic: str, kafka_broker: BrokerTarget
) -> None:
    def listed(version: int, *kinds: int) -> set[tuple[int, str]]:
        answer = client.call(ListConfigResourcesRequest(resource_types=list(kinds)), version)
        assert code(answer.error_code) == OK
        return {(one.resource_type, one.resource_name) for one in answer.config_resources}

    assert listed(0) == set()
    assert listed(1, 4) == {(4, str(MINE))}
    assert (2, topic) in listed(1, 2, 2)
    assert listed(1, 16, 32) == set()
    assert {(4, str(MINE)), (2, topic)} <= listed(1)
    if kafka_broker.embedded:
        assert listed(1, 8) == set(), "the levels of its loggers cannot be set"
