"""Topics that consumers subscribe to, as their metadata says."""

import pytest

from tierbroker.groups.subscription import subscribed_topics


def subscription(*topics: str, version: int = 3, tail: bytes = b"\xff\xff\xff\xff") -> bytes:
    data = version.to_bytes(2, "big") + len(topics).to_bytes(4, "big")
    for topic in topics:
        data += len(topic).to_bytes(2, "big") + topic.encode()
    return data + tail


def test_topics_of_all_members_count() -> None:
    members = [subscription("a", "b"), subscription("b", "c", version=0), subscription()]
    assert subscribed_topics(members) == {"a", "b", "c"}


def test_a_group_without_members_subscribes_to_nothing() -> None:
    assert subscribed_topics([]) == frozenset()


@pytest.mark.parametrize(
    "metadata",
    [
        b"",
        b"\0\0\0\0\0",
        b"\xff\xff\0\0\0\0",
        b"\0\0\xff\xff\xff\xff",
        b"\0\0\x7f\xff\xff\xff\0\1a",
        b"\0\0\0\0\0\1\0",
        b"\0\0\0\0\0\1\0\5abc",
        b"\0\0\0\0\0\1\xff\xff",
        b"\0\0\0\0\0\1\0\1\xff",
        b"\0\0\0\0\0\2\0\1a",
    ],
)
def test_metadata_that_is_something_else_cannot_be_told(metadata: bytes) -> None:
    assert subscribed_topics([subscription("a"), metadata]) is None


def test_every_cut_is_noticed() -> None:
    whole = subscription("topic", "other", tail=b"")
    for end in range(len(whole)):
        assert subscribed_topics([whole[:end]]) is None
