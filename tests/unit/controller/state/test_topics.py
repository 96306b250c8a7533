"""Deciding on topics."""

from collections.abc import Mapping

import pytest

from tests.metadata_cluster import applied, cluster, environment, with_topic
from tierbroker.base.errors import (
    ApiError,
    InvalidConfigError,
    InvalidPartitionsError,
    InvalidReplicaAssignmentError,
    InvalidReplicationFactorError,
    InvalidRequestError,
    InvalidTopicError,
    PolicyViolationError,
    TopicAlreadyExistsError,
    UnknownTopicIdError,
    UnknownTopicOrPartitionError,
)
from tierbroker.base.ids import ZERO_UUID, Uuid
from tierbroker.controller.state.brokers import fence_broker
from tierbroker.controller.state.image import MetadataImage, PartitionImage
from tierbroker.controller.state.topics import (
    CreatedTopic,
    NewTopic,
    TopicRef,
    create_topics,
    delete_topics,
)


def error_of(request: NewTopic, image: MetadataImage | None = None, **env: int) -> ApiError:
    result = create_topics(image or cluster(1), [request], environment(**env))
    (outcome,) = result.response
    assert result.records == ()
    assert outcome.error is not None
    return outcome.error


def created(request: NewTopic, image: MetadataImage | None = None, **env: int) -> CreatedTopic:
    (outcome,) = create_topics(image or cluster(1), [request], environment(**env)).response
    assert outcome.created is not None, outcome
    return outcome.created


def test_create() -> None:
    image = cluster(1)
    request = NewTopic("a", 2, 1, configs=(("retention.ms", "5"),))
    result = create_topics(image, [request], environment())
    (outcome,) = result.response
    assert outcome.created is not None
    after = applied(image, result)
    topic = after.topic("a")
    assert topic is not None
    assert topic is after.topic_by_id(outcome.created.topic_id)
    assert len(topic.partitions) == 2
    assert topic.partitions[0] == PartitionImage(
        replicas=(1,),
        directories=after.brokers[1].log_dirs,
        isr=(1,),
        leader=1,
        leader_epoch=0,
        partition_epoch=0,
    )
    assert after.configs.topic("a") == {"retention.ms": "5"}
    assert outcome.created.configs == {"retention.ms": "5"}


def test_minus_one_takes_the_defaults() -> None:
    image = cluster(1, 2, 3)
    made = created(NewTopic("a"), image, default_partitions=4, default_replication_factor=2)
    assert (made.num_partitions, made.replication_factor) == (4, 2)


@pytest.mark.parametrize("name", ["", ".", "..", "a" * 250, "a b", "a/b", "é", "a\n", "a:b"])
def test_illegal_names(name: str) -> None:
    assert type(error_of(NewTopic(name))) is InvalidTopicError


@pytest.mark.parametrize("name", ["a" * 249, "A-Z_0.9", "...", "__consumer_offsets"])
def test_legal_names(name: str) -> None:
    created(NewTopic(name))


def test_the_metadata_topic_cannot_be_created() -> None:
    assert type(error_of(NewTopic("__cluster_metadata"))) is InvalidRequestError


def test_existing_topic() -> None:
    image = with_topic(cluster(1), "a", (1,))
    assert type(error_of(NewTopic("a"), image)) is TopicAlreadyExistsError


@pytest.mark.parametrize(("have", "want"), [("a.b", "a_b"), ("a_b.c", "a.b_c")])
def test_names_that_collide_in_metrics(have: str, want: str) -> None:
    image = with_topic(cluster(1), have, (1,))
    error = error_of(NewTopic(want), image)
    assert type(error) is InvalidTopicError
    assert have in error.message


def test_names_that_collide_within_a_request() -> None:
    requests = [NewTopic("a.b"), NewTopic("a_b"), NewTopic("ab")]
    outcomes = create_topics(cluster(1), requests, environment()).response
    assert [type(outcome.error) for outcome in outcomes] == [
        type(None),
        InvalidTopicError,
        type(None),
    ]


def test_a_deleted_name_collides_no_more() -> None:
    image = with_topic(cluster(1), "a.b", (1,))
    image = applied(image, delete_topics(image, [TopicRef("a.b")]))
    created(NewTopic("a_b"), image)


def test_a_name_given_twice_fails_once() -> None:
    result = create_topics(cluster(1), [NewTopic("a"), NewTopic("b"), NewTopic("a")], environment())
    assert [(o.name, type(o.error)) for o in result.response] == [
        ("a", InvalidRequestError),
        ("b", type(None)),
    ]


@pytest.mark.parametrize("count", [0, -2])
def test_illegal_number_of_partitions(count: int) -> None:
    assert type(error_of(NewTopic("a", count))) is InvalidPartitionsError


@pytest.mark.parametrize("factor", [0, -2, 2])
def test_illegal_replication_factor(factor: int) -> None:
    assert type(error_of(NewTopic("a", 1, factor))) is InvalidReplicationFactorError


def test_no_broker_that_can_lead() -> None:
    image = cluster(1)
    image = applied(image, fence_broker(image, 1, image.brokers[1].epoch))
    assert type(error_of(NewTopic("a"), image)) is InvalidReplicationFactorError


def test_too_many_partitions_in_one_request() -> None:
    assert type(error_of(NewTopic("a", 11), max_partitions_per_request=10)) is PolicyViolationError
    requests = [NewTopic("a", 6), NewTopic("b", 6), NewTopic("c", 4)]
    env = environment(max_partitions_per_request=10)
    outcomes = create_topics(cluster(1), requests, env).response
    assert [type(o.error) for o in outcomes] == [type(None), PolicyViolationError, type(None)]


def test_manual_assignment() -> None:
    image = with_topic(cluster(1, 2, 3), "a", (2, 3), (3, 1))
    topic = image.topic("a")
    assert topic is not None
    assert [partition.replicas for partition in topic.partitions] == [(2, 3), (3, 1)]
    assert [partition.leader for partition in topic.partitions] == [2, 3]


def test_a_fenced_replica_is_not_in_sync() -> None:
    image = cluster(1, 2)
    image = applied(image, fence_broker(image, 1, image.brokers[1].epoch))
    image = with_topic(image, "a", (1, 2))
    topic = image.topic("a")
    assert topic is not None
    assert (topic.partitions[0].isr, topic.partitions[0].leader) == ((2,), 2)
    request = NewTopic("b", assignments=((0, (1,)),))
    assert type(error_of(request, image)) is InvalidReplicaAssignmentError


@pytest.mark.parametrize(
    ("assignments", "error"),
    [
        (((0, ()),), InvalidReplicaAssignmentError),
        (((0, (9,)),), InvalidReplicaAssignmentError),
        (((0, (1, 1)),), InvalidReplicaAssignmentError),
        (((0, (1,)), (1, (1, 2))), InvalidReplicaAssignmentError),
        (((1, (1,)),), InvalidReplicaAssignmentError),
        (((0, (1,)), (2, (1,))), InvalidReplicaAssignmentError),
        (((0, (1,)), (0, (2,))), InvalidReplicaAssignmentError),
    ],
)
def test_illegal_manual_assignments(
    assignments: tuple[tuple[int, tuple[int, ...]], ...], error: type[ApiError]
) -> None:
    assert type(error_of(NewTopic("a", assignments=assignments), cluster(1, 2))) is error


@pytest.mark.parametrize(("partitions", "factor"), [(1, -1), (-1, 1)])
def test_a_manual_assignment_excludes_counts(partitions: int, factor: int) -> None:
    request = NewTopic("a", partitions, factor, assignments=((0, (1,)),))
    assert type(error_of(request)) is InvalidRequestError


@pytest.mark.parametrize(
    ("configs", "error"),
    [
        ((("retention.ms", None),), InvalidConfigError),
        ((("retention.ms", "soon"),), InvalidConfigError),
        ((("retention.ms", "-2"),), InvalidConfigError),
        ((("retentoin.ms", "1"),), InvalidConfigError),
        ((("retention.ms", "1"), ("retention.ms", "2")), InvalidRequestError),
    ],
)
def test_illegal_configs(
    configs: tuple[tuple[str, str | None], ...], error: type[ApiError]
) -> None:
    assert type(error_of(NewTopic("a", configs=configs))) is error


def test_validate_only_writes_nothing() -> None:
    result = create_topics(cluster(1), [NewTopic("a", 3)], environment(), validate_only=True)
    assert result.records == ()
    assert result.response[0].created is not None
    assert result.response[0].created.num_partitions == 3


def test_delete_takes_the_configs_along() -> None:
    image = cluster(1)
    request = NewTopic("a", configs=(("retention.ms", "5"),))
    image = applied(image, create_topics(image, [request], environment()))
    result = delete_topics(image, [TopicRef("a")])
    assert [type(record).__name__ for record in result.records] == ["RemoveTopicRecord"]
    after = applied(image, result)
    assert after.topic("a") is None
    assert after.configs.topic("a") == {}
    assert len(after.topics.by_id) == 0


def test_delete_by_id() -> None:
    image = with_topic(cluster(1), "a", (1,))
    topic = image.topic("a")
    assert topic is not None
    result = delete_topics(image, [TopicRef(topic_id=topic.topic_id)])
    assert result.response[0].name == "a"
    assert result.response[0].error is None


def test_delete_errors() -> None:
    image = with_topic(with_topic(cluster(1), "a", (1,)), "b", (1,))
    a, b = image.topic("a"), image.topic("b")
    assert a is not None
    assert b is not None
    refs = [
        TopicRef("nope"),
        TopicRef(topic_id=Uuid(b"x" * 16)),
        TopicRef(None, ZERO_UUID),
        TopicRef("a", a.topic_id),
        TopicRef("b"),
        TopicRef(topic_id=b.topic_id),
    ]
    result = delete_topics(image, refs)
    assert [type(outcome.error) for outcome in result.response] == [
        UnknownTopicOrPartitionError,
        UnknownTopicIdError,
        InvalidRequestError,
        InvalidRequestError,
        type(None),
        InvalidRequestError,
    ]
    assert len(result.records) == 1
    twice = delete_topics(image, [TopicRef("a"), TopicRef("a")])
    assert [type(outcome.error) for outcome in twice.response] == [InvalidRequestError]
    assert twice.records == ()


def test_a_new_topic_gets_what_the_broker_adds() -> None:
    def complete(name: str, texts: Mapping[str, str]) -> dict[str, str]:
        assert name == "a"
        return {} if "cleanup.policy" in texts else {"retention.ms": "7"}

    image = cluster(1)
    env = environment(complete_topic=complete)
    result = create_topics(image, [NewTopic("a")], env)
    assert result.response[0].created is not None
    assert result.response[0].created.configs == {"retention.ms": "7"}
    assert applied(image, result).configs.topic("a") == {"retention.ms": "7"}
    own = NewTopic("a", configs=(("cleanup.policy", "compact"),))
    after = applied(image, create_topics(image, [own], env))
    assert after.configs.topic("a") == {"cleanup.policy": "compact"}
