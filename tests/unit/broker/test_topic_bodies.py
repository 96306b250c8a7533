"""Packed topics: the same bytes as packed anew, kept no longer than they are true."""

from dataclasses import replace

from tests.metadata_cluster import cluster, with_topic
from tierbroker.base.ids import ZERO_UUID
from tierbroker.broker.topic_bodies import KEPT_VARIANTS, Disks, TopicBodies, Variant
from tierbroker.controller.state.image import MetadataImage
from tierbroker.wire.metadata import TopicHead, pack_topic

HERE = frozenset({1})
NO_DISKS = Disks(-1, frozenset())


def _with_topics(*names: str) -> MetadataImage:
    image = cluster(1, 2)
    for name in names:
        image = with_topic(image, name, (1, 2))
    return image


def _variant(version: int = 12, reachable: frozenset[int] = HERE) -> Variant:
    return Variant(version, 0, reachable, NO_DISKS)


def test_what_did_not_change_is_not_packed_again() -> None:
    bodies, image = TopicBodies(), _with_topics("a", "b")
    first = bodies.pack(image, image.topics, _variant())
    again = bodies.pack(image, image.topics, _variant())
    assert all(a is b for a, b in zip(first, again, strict=True))
    assert first == TopicBodies().pack(image, image.topics, _variant())


def test_a_topic_that_changed_is() -> None:
    bodies, image = TopicBodies(), _with_topics("a", "b")
    bodies.pack(image, image.topics, _variant())
    later = _with_topics("a", "b", "c")
    assert bodies.pack(later, later.topics, _variant()) == TopicBodies().pack(
        later, later.topics, _variant()
    )


def test_variants_do_not_mix() -> None:
    bodies, image = TopicBodies(), _with_topics("a")
    variants = (
        _variant(12),
        _variant(7),
        _variant(12, frozenset({1, 2})),
        Variant(12, 9, HERE, NO_DISKS),
        Variant(12, 0, HERE, Disks(1, frozenset())),
    )
    packed = [bodies.pack(image, image.topics, variant)[0] for variant in variants]
    assert len(set(packed)) == len(variants)
    assert [bodies.pack(image, image.topics, variant)[0] for variant in variants] == packed


def test_the_order_is_the_one_asked_for_and_absent_topics_stand_in_it() -> None:
    bodies, image = TopicBodies(), _with_topics("a", "b")
    head = TopicHead("gone", error_code=3)
    a, b = (image.topic(name) for name in ("a", "b"))
    assert a is not None
    assert b is not None
    packed = bodies.pack(image, [b, head, a], _variant())
    assert packed == [
        *bodies.pack(image, [b], _variant()),
        pack_topic(12, head),
        *bodies.pack(image, [a], _variant()),
    ]
    assert len(bodies) == 2


def test_only_a_few_variants_are_kept() -> None:
    bodies, image = TopicBodies(), _with_topics("a")
    for version in range(14):
        bodies.pack(image, image.topics, _variant(version))
    assert len(bodies) == KEPT_VARIANTS


def test_topics_that_are_gone_are_forgotten() -> None:
    bodies = TopicBodies()
    for number in range(300):
        image = _with_topics(f"topic-{number}")
        bodies.pack(image, image.topics, _variant())
    assert len(bodies) <= 2 + 64 + 1


def test_a_replica_is_lost_with_its_directory() -> None:
    (topic,) = _with_topics("a").topics
    (partition,) = topic.partitions
    assert partition.replicas == (1, 2)
    for broker_id, directory in zip(partition.replicas, partition.directories, strict=True):
        assert not Disks(broker_id, frozenset({directory})).has_lost(partition)
        assert Disks(broker_id, frozenset()).has_lost(partition)
        assert Disks(broker_id, frozenset()).reached(partition, frozenset({1, 2, 3})) == (
            {1, 2, 3} - {broker_id}
        )
    assert not NO_DISKS.has_lost(partition)
    unassigned = replace(partition, directories=(ZERO_UUID, ZERO_UUID))
    assert not Disks(1, frozenset()).has_lost(unassigned)
