"""Committed offsets against a dict: commits, deletions, expiry, transactions, crash and reload.

INV-10: an acknowledged group commit is superseded only by a later commit in log order. The model
is the log itself, read in the plainest way; the coordinator must say what it says, at every
moment, and no acknowledged change may be missing from it after a crash.
"""

from hypothesis import given
from hypothesis import strategies as st

from tests.offsets_machine import OffsetsMachine
from tierbroker.base.ids import Uuid
from tierbroker.groups.offsets import OffsetStore
from tierbroker.groups.record_codec import (
    CommittedOffset,
    OffsetKey,
    decode_key,
    decode_offset_value,
    offset_key,
    offset_value,
)
from tierbroker.groups.records import offset_commit_key, offset_commit_value
from tierbroker.groups.records.offset_commit_key import OffsetCommitKey
from tierbroker.groups.records.offset_commit_value import OffsetCommitValue
from tierbroker.groups.replay import Replay
from tierbroker.records.batch import walk
from tierbroker.records.builder import build_batch
from tierbroker.records.record import Record

group_ids = st.sampled_from(("g", "gruppe-ü"))
topics = st.sampled_from(["t", "u"])
offsets = st.integers(0, (1 << 63) - 1)
texts = st.text(max_size=5)
Key = tuple[str, str, int]

TestOffsetsMachine = OffsetsMachine.TestCase


# --- codecs: the generated ones are the judge

committed_offsets = st.builds(
    CommittedOffset,
    offset=st.integers(-(1 << 63), (1 << 63) - 1),
    leader_epoch=st.integers(-1, (1 << 31) - 1),
    metadata=st.text(max_size=300),
    commit_timestamp_ms=st.integers(0, (1 << 62)),
    expire_timestamp_ms=st.just(-1) | st.integers(0, 1 << 62),
    topic_id=st.just(Uuid(bytes(16))) | st.binary(min_size=16, max_size=16).map(Uuid),
)
names = st.text(max_size=40)


@given(names, names, st.integers(0, (1 << 31) - 1))
def test_keys_are_what_the_generated_codec_writes(group: str, topic: str, partition: int) -> None:
    key = offset_key(group, topic, partition)
    body = offset_commit_key.encode(OffsetCommitKey(group, topic, partition), 0)
    assert key == b"\x00\x01" + body
    assert decode_key(key) == OffsetKey(group, topic, partition)


@given(committed_offsets)
def test_values_are_what_the_generated_codec_writes(committed: CommittedOffset) -> None:
    version = 4 if committed.expire_timestamp_ms == -1 else 1
    value = OffsetCommitValue(
        committed.offset,
        committed.leader_epoch,
        committed.metadata,
        committed.commit_timestamp_ms,
        committed.expire_timestamp_ms,
        committed.topic_id,
    )
    if version == 1:
        value.leader_epoch, value.topic_id = -1, Uuid(bytes(16))
    expected = version.to_bytes(2, "big") + offset_commit_value.encode(value, version)
    assert offset_value(committed) == expected


@given(
    st.lists(
        st.tuples(
            group_ids,
            topics,
            st.integers(0, 300),
            st.integers(0, 4),
            st.builds(
                OffsetCommitValue,
                offset=offsets,
                leader_epoch=st.integers(-1, 9),
                metadata=st.just("") | texts,
                commit_timestamp=st.integers(0, 1 << 50),
                expire_timestamp=st.just(-1) | st.integers(0, 1 << 50),
                topic_id=st.just(Uuid(bytes(16))) | st.binary(min_size=16, max_size=16).map(Uuid),
            ),
        )
        | st.tuples(group_ids, topics, st.integers(0, 300), st.none(), st.none()),
        max_size=60,
    ),
    st.integers(1, 20),
)
def test_the_short_way_of_replay_reads_what_the_codecs_read(
    records: list[tuple[str, str, int, int | None, OffsetCommitValue | None]], per_batch: int
) -> None:
    expected: dict[Key, CommittedOffset] = {}
    written: list[Record] = []
    for group, topic, partition, version, value in records:
        key = offset_key(group, topic, partition)
        encoded = None
        if value is None or version is None:
            expected.pop((group, topic, partition), None)
        else:
            encoded = version.to_bytes(2, "big") + offset_commit_value.encode(value, version)
            expected[group, topic, partition] = decode_offset_value(encoded)
        written.append(Record(0, 1_000 + len(written), key, encoded))
    data = b"".join(
        build_batch(written[start : start + per_batch])
        for start in range(0, len(written), per_batch)
    )
    store = OffsetStore()
    replay = Replay(store)
    for position, header in walk(data):
        for _ in replay.batch(data, position, header):
            pass
    found = {
        (group, topic, partition): committed
        for group in store.groups()
        for topic in store.topics(group)
        for partition, committed in store.committed(group, topic)
    }
    assert found == expected
    assert len(store) == len(expected)
