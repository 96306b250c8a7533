"""Keys of objects, written and read."""

import pytest

from tierbroker.base.ids import Uuid
from tierbroker.cold.keys import (
    HEAD_KEY,
    MANIFEST_SUFFIX,
    SEGMENT_SUFFIX,
    ObjectName,
    checkpoint_key,
    object_key,
    read_object_key,
)

CLUSTER = "cluster"
INCARNATION, TOPIC_ID = Uuid(b"incarnation".ljust(16, b".")), Uuid(b"topic".ljust(16, b"."))
NAME = ObjectName(TOPIC_ID, 3, 100, 199, 7, 42)


@pytest.mark.parametrize("suffix", [SEGMENT_SUFFIX, MANIFEST_SUFFIX])
def test_a_key_is_read_as_it_was_written(suffix: str) -> None:
    key = object_key(CLUSTER, INCARNATION, NAME, suffix)
    assert read_object_key(CLUSTER, key) == (INCARNATION, NAME, suffix)


@pytest.mark.parametrize(
    "key",
    [
        HEAD_KEY,
        checkpoint_key(CLUSTER, INCARNATION, 5, 1),
        object_key("another", INCARNATION, NAME),
        object_key(CLUSTER, INCARNATION, NAME) + ".bak",
        object_key(CLUSTER, INCARNATION, NAME).replace("/3/", "/three/"),
        f"{CLUSTER}/readme.txt",
    ],
)
def test_other_keys_are_none_of_an_object(key: str) -> None:
    assert read_object_key(CLUSTER, key) is None
