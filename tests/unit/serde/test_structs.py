"""Equality, text form and defaults of generated classes."""

from tierbroker.wire.messages.list_offsets import ListOffsetsTopic
from tierbroker.wire.messages.metadata import MetadataRequest, MetadataRequestTopic


def test_equality_is_by_class_and_fields() -> None:
    assert MetadataRequestTopic(name="a") == MetadataRequestTopic(name="a")
    assert MetadataRequestTopic(name="a") != MetadataRequestTopic(name="b")
    assert MetadataRequestTopic(name="a") != ListOffsetsTopic(name="a")
    assert MetadataRequestTopic(name="a") != "a"


def test_text_form_names_every_field() -> None:
    assert repr(MetadataRequestTopic(bytes(2), None)) == (
        "MetadataRequestTopic(topic_id=b'\\x00\\x00', name=None)"
    )


def test_every_instance_has_its_own_lists() -> None:
    one, other = MetadataRequest(), MetadataRequest()
    assert one.topics is not None
    one.topics.append(MetadataRequestTopic())
    assert other.topics == []


def test_null_is_not_the_empty_list() -> None:
    assert MetadataRequest(topics=None).topics is None
