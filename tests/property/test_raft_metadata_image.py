"""Images and records are two forms of the same thing, whatever has happened."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.metadata_cluster import applied, cluster, environment, registration, replayed
from tierbroker.base.ids import Uuid
from tierbroker.controller.records.access_control_entry_record import AccessControlEntryRecord
from tierbroker.controller.records.client_quota_record import ClientQuotaRecord, EntityData
from tierbroker.controller.records.feature_level_record import FeatureLevelRecord
from tierbroker.controller.state.brokers import fence_broker, register_broker, unfence_broker
from tierbroker.controller.state.codec import decode_record, encode_records
from tierbroker.controller.state.configs import ConfigChange, ResourceChanges, alter_incrementally
from tierbroker.controller.state.delta import MetadataDelta
from tierbroker.controller.state.image import MetadataImage
from tierbroker.controller.state.partitions import MorePartitions, create_partitions
from tierbroker.controller.state.producer_ids import allocate_producer_ids
from tierbroker.controller.state.result import MetadataRecord, Result
from tierbroker.controller.state.snapshot import image_of_records, image_records
from tierbroker.controller.state.topics import NewTopic, TopicRef, create_topics, delete_topics

Action = tuple[int, int, int]

NAMES = ["a", "b.c", "b_c", "d-e", "__consumer_offsets"]


def decide(image: MetadataImage, action: Action, rng: random.Random) -> Result[object]:
    """Some decision on the image; one that is refused has no records."""
    kind, which, amount = action
    name = NAMES[which % len(NAMES)]
    broker_id = which % 3 + 1
    env = environment(rng=rng)
    broker = image.brokers[broker_id]
    match kind % 9:
        case 0 | 1:
            factor = which % 3 + 1
            return create_topics(image, [NewTopic(name, amount % 5 + 1, factor)], env)
        case 2:
            return delete_topics(image, [TopicRef(name)])
        case 3:
            return create_partitions(image, [MorePartitions(name, amount % 8)], env)
        case 4:
            change = ConfigChange("retention.ms", amount % 2, str(amount))
            return alter_incrementally(image, [ResourceChanges((2, name), (change,))], env)
        case 5:
            return fence_broker(image, broker_id, broker.epoch)
        case 6:
            return unfence_broker(image, broker_id, broker.epoch)
        case 7:
            incarnation = amount % 250 + 2
            return register_broker(image, registration(broker_id, incarnation))
        case _:
            return allocate_producer_ids(image, broker_id, broker.epoch)


def kept_records(which: int) -> list[MetadataRecord]:
    """Records of nouns that nothing decides on."""
    return [
        FeatureLevelRecord("group.version", which % 2),
        AccessControlEntryRecord(Uuid(bytes([which % 3]) * 16), 2, "topic", 3, "User:x", "*", 3, 3),
        ClientQuotaRecord([EntityData("user", None)], "producer_byte_rate", which, which % 4 == 0),
        ClientQuotaRecord([EntityData("user", "")], "producer_byte_rate", which, False),
    ]


actions = st.lists(
    st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(0, 999)), max_size=40
)


@settings(deadline=None)
@given(actions=actions, seed=st.integers(0, 2**32))
def test_an_image_survives_the_way_through_records(actions: list[Action], seed: int) -> None:
    rng = random.Random(seed)
    start = image = cluster(1, 2, 3)
    log: list[MetadataRecord] = []
    for number, action in enumerate(actions):
        result = decide(image, action, rng)
        records = list(result.records)
        if number % 5 == 0:
            records += kept_records(action[1])
        log += records
        image = replayed(image, records)

    # One by one, or all at once: the same image.
    at_once = MetadataDelta(start)
    for record in log:
        at_once.replay(record)
    assert at_once.finish(image.offset, image.epoch)[0] == image

    # As bytes and back.
    values = encode_records(log, 30)
    assert [decode_record(value) for value in values] == log

    # As a snapshot and back, also through bytes.
    snapshot = encode_records(image_records(image), 30)
    rebuilt = image_of_records(map(decode_record, snapshot), image.offset, image.epoch)
    assert rebuilt == image


@settings(deadline=None)
@given(actions=actions, seed=st.integers(0, 2**32))
def test_changes_tell_the_difference(actions: list[Action], seed: int) -> None:
    rng = random.Random(seed)
    before = image = cluster(1, 2, 3)
    delta = MetadataDelta(before)
    for action in actions:
        result = decide(image, action, rng)
        for record in result.records:
            delta.replay(record)
        image = applied(image, result)
    after, changes = delta.finish(image.offset, image.epoch)

    known = {topic.topic_id for topic in before.topics}
    there = {topic.topic_id for topic in after.topics}
    assert {topic.topic_id for topic in changes.topics_created} == there - known
    assert {topic.topic_id for topic in changes.topics_deleted} == known - there
    for change in changes.partitions_changed:
        assert change.topic.topic_id in known
        assert (
            change.after is after.topics.by_id[change.topic.topic_id].partitions[change.partition]
        )
    for broker_id in after.brokers:
        if after.brokers[broker_id] != before.brokers.get(broker_id):
            assert broker_id in changes.brokers_changed
