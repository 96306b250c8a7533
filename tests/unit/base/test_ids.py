import random

import pytest

from tierbroker.base.ids import TopicPartition, Uuid, parse_uuid, random_uuid, uuid_text


def test_text_of_a_uuid_reads_back() -> None:
    uuid = Uuid(bytes(range(16)))
    assert uuid_text(uuid) == "AAECAwQFBgcICQoLDA0ODw"
    assert parse_uuid("AAECAwQFBgcICQoLDA0ODw") == uuid


@pytest.mark.parametrize("text", ["", "short", "A" * 23, "AAECAwQFBgcICQoLDA0OD!"])
def test_what_is_no_uuid_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="uuid"):
        parse_uuid(text)


def test_random_uuids_are_version_4_and_never_look_like_a_flag() -> None:
    rng = random.Random(7)
    drawn = [random_uuid(rng) for _ in range(2000)]
    assert len(set(drawn)) == len(drawn)
    assert all(uuid[6] >> 4 == 4 and uuid[8] >> 6 == 2 for uuid in drawn)
    assert not any(uuid_text(uuid).startswith("-") for uuid in drawn)


def test_a_topic_partition_is_named_like_its_directory() -> None:
    assert str(TopicPartition("orders", 3)) == "orders-3"
