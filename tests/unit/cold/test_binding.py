"""Whose store it is, found out before anything is written there."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.tier_world import CLUSTER, INCARNATION, OTHER_INCARNATION, STORE_ID, TierWorld
from tierbroker.base.ids import uuid_text
from tierbroker.base.parts import Part
from tierbroker.base.pending import Pending
from tierbroker.base.story import tell
from tierbroker.cold.binding import Binding, bind, look
from tierbroker.cold.errors import StoreMismatchError, StoreUnavailableError, UnfitStoreError
from tierbroker.cold.head import CheckpointName, Head, encode_head, read_head
from tierbroker.cold.keys import HEAD_KEY
from tierbroker.cold.ports import ObjectFacts
from tierbroker.records.tier.state import TierState

NEW = TierState()
BOUND = TierState(STORE_ID, (INCARNATION,))
HEAD = Head(CLUSTER, STORE_ID, INCARNATION)
RESTORE = "tierbroker restore --from s3://b/p --data DIR --set cold.s3.region=x"
CHECKPOINT = CheckpointName("a.ckpt", 1, 2, 3, 4, 5)


def bound(world: TierWorld, state: TierState, cluster: str = CLUSTER) -> Binding:
    return tell(bind(world.store, state, cluster, random.Random(5), RESTORE)).result()


def holding(head: Head | None) -> TierWorld:
    world = TierWorld()
    if head is not None:
        world.store.inner.put(HEAD_KEY, [encode_head(head)])
    return world


def test_an_empty_store_becomes_the_clusters() -> None:
    world = holding(None)
    made = bound(world, NEW)
    assert made.head.cluster_id == CLUSTER
    assert made.head.store_id != made.head.incarnation
    assert tell(read_head(world.store)).result() == (made.head, made.etag)
    # A crash before the metadata knows: the next start finds what was made.
    assert bound(world, NEW) == made


@pytest.mark.parametrize("made_before", [False, True])
@pytest.mark.parametrize("ignored", ["if_absent", "if_match"])
def test_a_store_that_ignores_conditions_is_refused(ignored: str, *, made_before: bool) -> None:
    world = holding(HEAD if made_before else None)
    put = world.store.inner.put

    def careless(key: str, body: Sequence[Part], **conditions: Any) -> Pending[ObjectFacts]:
        return put(key, body, **{**conditions, ignored: None})

    world.store.inner.put = careless  # type: ignore[method-assign]
    for _ in range(2):  # also after a restart
        with pytest.raises(UnfitStoreError, match=f"tierbroker tier check {world.store.url}"):
            bound(world, NEW)
    found = tell(read_head(world.store)).result()
    assert found is not None
    assert found[0].cluster_id == CLUSTER
    assert world.store.contents.keys() == {HEAD_KEY}


def test_conditions_are_tried_once() -> None:
    world = holding(None)
    made = bound(world, NEW)
    assert world.store.puts == [HEAD_KEY] * 3
    bound(world, TierState(made.head.store_id, (made.head.incarnation,)))
    assert len(world.store.puts) == 3


def test_a_store_that_goes_down_while_conditions_are_tried_is_not_blamed() -> None:
    world = holding(HEAD)
    world.store.fail("put", StoreUnavailableError("no answer"))
    with pytest.raises(StoreUnavailableError):
        bound(world, NEW)
    assert bound(world, NEW).head == HEAD


def test_a_lost_answer_makes_no_second_identity() -> None:
    world = holding(None)
    world.store.fail("put", StoreUnavailableError("no answer"), done=True)
    with pytest.raises(StoreUnavailableError):
        bound(world, NEW)
    found = tell(read_head(world.store)).result()
    assert found is not None
    assert bound(world, NEW).head == found[0]


def test_the_own_store_is_found_again() -> None:
    head = replace(HEAD, checkpoints=(CHECKPOINT,))
    assert bound(holding(head), BOUND).head == head


@pytest.mark.parametrize(
    ("head", "state", "cluster", "words"),
    [
        (None, BOUND, CLUSTER, ["is empty", uuid_text(STORE_ID), "cold.url"]),
        (HEAD, NEW, "another", [CLUSTER, "another", "no checkpoint yet", RESTORE]),
        (
            replace(HEAD, checkpoints=(CHECKPOINT,)),
            NEW,
            CLUSTER,
            ["knows nothing of", RESTORE],
        ),
        (
            HEAD,
            TierState(OTHER_INCARNATION, (INCARNATION,)),
            CLUSTER,
            [uuid_text(STORE_ID), uuid_text(OTHER_INCARNATION), "cold.url"],
        ),
        (
            HEAD,
            TierState(STORE_ID, (INCARNATION, OTHER_INCARNATION)),
            CLUSTER,
            ["was restored", uuid_text(INCARNATION), uuid_text(OTHER_INCARNATION)],
        ),
    ],
)
def test_a_store_that_is_not_the_clusters_is_refused(
    head: Head | None, state: TierState, cluster: str, words: list[str]
) -> None:
    world = holding(head)
    before = dict(world.store.contents)
    with pytest.raises(StoreMismatchError) as refused:
        bound(world, state, cluster)
    for word in words:
        assert word in str(refused.value)
    assert world.store.contents == before


def test_of_two_new_clusters_one_gets_the_store() -> None:
    world = holding(None)
    world.store.hold("head", "put")
    first = tell(bind(world.store, NEW, "one", random.Random(1), RESTORE))
    second = tell(bind(world.store, NEW, "two", random.Random(2), RESTORE))
    world.store.release(2)  # both find the store empty
    world.store.release()
    assert first.result().head.cluster_id == "one"
    with pytest.raises(StoreMismatchError, match="holds cluster one, this is cluster two"):
        second.result()


def test_a_look_writes_nothing() -> None:
    world = holding(None)
    tell(look(world.store, CLUSTER, RESTORE)).result()
    assert tell(read_head(world.store)).result() is None
    tell(look(holding(HEAD).store, CLUSTER, RESTORE)).result()


@pytest.mark.parametrize(
    ("head", "cluster", "words"),
    [
        (HEAD, "another", "holds cluster"),
        (replace(HEAD, checkpoints=(CHECKPOINT,)), CLUSTER, "knows"),
    ],
)
def test_a_look_finds_what_others_keep_there(head: Head, cluster: str, words: str) -> None:
    with pytest.raises(StoreMismatchError, match=words):
        tell(look(holding(head).store, cluster, RESTORE)).result()
