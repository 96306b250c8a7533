"""Packed topics: the same bytes as packed anew, kept no longer than they are true."""

from tests.metadata_cluster import cluster, with_topic
from tierbroker.broker.topic_bodies import KEPT_VARIANTS, TopicBodies, Variant
from tierbroker.controller.state.image import MetadataImage
from tierbroker.wire.metadata import TopicHead, pack_topic

HERE = frozenset({1})


def _with_topics(*names: str) -> MetadataImage:
    image = cluster(1, 2)
    for name in names:
        image = with_topic(image, name, (1, 2))
    return image


def _variant(version: int = 12, reachable: frozenset[int] = HERE) -> Variant:
    return Variant(version, 0, reachable)


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
    variants = (_variant(12), _variant(7), _variant(12, frozenset({1, 2})), Variant(12, 9, HERE))
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
