"""The head: JSON, replaced by compare and swap."""

import json
from dataclasses import replace

import pytest

from tests.tier_world import CLUSTER, INCARNATION, OTHER_INCARNATION, STORE_ID, TierWorld
from tierbroker.base.story import tell
from tierbroker.cold.errors import ObjectDamagedError, StoreMismatchError, StoreUnavailableError
from tierbroker.cold.head import (
    MAX_BYTES,
    CheckpointName,
    Head,
    HeadChangedError,
    decode_head,
    encode_head,
    read_head,
    write_head,
)
from tierbroker.cold.keys import HEAD_KEY

HEAD = Head(
    CLUSTER,
    STORE_ID,
    INCARNATION,
    (CheckpointName("a.ckpt", 10, 0xFFFF_FFFF_FFFF_FFFF, 7, 1, 5),),
)


def test_a_head_comes_back_from_its_bytes() -> None:
    assert decode_head(encode_head(HEAD)) == HEAD
    assert HEAD.latest == HEAD.checkpoints[0]
    assert Head(CLUSTER, STORE_ID, INCARNATION).latest is None
    restored = replace(HEAD, leader_epochs_from=3000, producer_ids_from=1 << 40)
    assert decode_head(encode_head(restored)) == restored
    assert b"_from" not in encode_head(HEAD)


def changed(**values: object) -> bytes:
    content = {**json.loads(encode_head(HEAD)), **values}
    return json.dumps({key: value for key, value in content.items() if value is not ...}).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        b"nonsense",
        changed(format=2),
        changed(format=...),
        changed(store_id="x"),
        changed(incarnation=None),
        changed(checkpoints=[{}]),
        changed(checkpoints=3),
        changed(checkpoints=[{"key": "k", "size_bytes": "x"}]),
    ],
)
def test_what_is_no_head_is_refused(data: bytes) -> None:
    with pytest.raises(ObjectDamagedError, match="head"):
        decode_head(data)


def test_a_later_format_says_so() -> None:
    with pytest.raises(ObjectDamagedError, match="format 2, this release reads 1"):
        decode_head(changed(format=2))


def test_an_empty_store_has_none() -> None:
    assert tell(read_head(TierWorld().store)).result() is None


def test_a_huge_object_is_not_read() -> None:
    world = TierWorld()
    world.store.inner.put(HEAD_KEY, [bytes(MAX_BYTES + 1)])
    with pytest.raises(ObjectDamagedError, match="bytes"):
        tell(read_head(world.store)).result()
    assert world.store.calls["get_range"] == 0


def test_only_the_one_that_was_read_is_replaced() -> None:
    world = TierWorld()
    first = tell(write_head(world.store, HEAD, None)).result()
    other = Head(CLUSTER, STORE_ID, OTHER_INCARNATION)
    with pytest.raises(HeadChangedError) as lost:
        tell(write_head(world.store, other, None)).result()
    assert lost.value.found == (HEAD, first)
    second = tell(write_head(world.store, other, first)).result()
    assert second != first
    with pytest.raises(StoreMismatchError):
        tell(write_head(world.store, HEAD, first)).result()
    assert tell(read_head(world.store)).result() == (other, second)


def test_to_have_done_it_already_is_a_success() -> None:
    world = TierWorld()
    world.store.fail("put", StoreUnavailableError("no answer"), done=True)
    with pytest.raises(StoreUnavailableError):
        tell(write_head(world.store, HEAD, None)).result()
    etag = tell(write_head(world.store, HEAD, None)).result()
    assert tell(read_head(world.store)).result() == (HEAD, etag)


def test_a_head_that_is_rubbish_says_where_and_what_next() -> None:
    world = TierWorld()
    world.store.inner.put(HEAD_KEY, [b"rubbish"])
    with pytest.raises(
        ObjectDamagedError, match=r"^memory://faulty: the object head .* put it back"
    ):
        tell(read_head(world.store)).result()
