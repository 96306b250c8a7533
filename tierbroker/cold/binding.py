"""Which store a cluster's objects are in: found out before anything is written there.

A store (a bucket and prefix) holds one cluster. The metadata log names the store's id and the own
incarnation, the head object in the store names the cluster: both must agree, or nothing is done.
"""

import random
from typing import NamedTuple

from tierbroker.base.ids import Uuid, random_uuid, uuid_text
from tierbroker.base.story import until
from tierbroker.cold.errors import PreconditionFailedError, StoreMismatchError, UnfitStoreError
from tierbroker.cold.head import Head, encode_head, read_head, write_head
from tierbroker.cold.keys import HEAD_KEY
from tierbroker.cold.ports import ObjectStore
from tierbroker.records.tier.state import TierState

NOBODYS_ETAG = '"00000000000000000000000000000000"'


class Binding(NamedTuple):
    """The store is this cluster's."""

    head: Head
    etag: str


async def bind(
    store: ObjectStore, state: TierState, cluster_id: str, rng: random.Random, restore: str
) -> Binding:
    """Make sure that the store is this cluster's; an empty one becomes that.

    `restore` is the command that restores from the store, for people who have to be told of it.
    The caller writes `head.store_id` and `head.incarnation` to the metadata log where they are
    new. Raises StoreMismatchError, UnfitStoreError, and StoreError while the store does not answer.
    """
    found = await read_head(store)
    if found is None:
        if state.store_id is not None:
            raise StoreMismatchError(
                f"{store.url} is empty, or its object {HEAD_KEY} was removed, but the cold data of "
                f"cluster {cluster_id} is in store {uuid_text(state.store_id)}. Set cold.url to "
                f"where the data is, or put {HEAD_KEY} back as it was."
            )
        head = Head(cluster_id, random_uuid(rng), random_uuid(rng))
        etag = await write_head(store, head, None)
        await _must_heed_conditions(store, head)
        return Binding(head, etag)
    head, etag = found
    if head.cluster_id != cluster_id:
        raise StoreMismatchError(_other_cluster(store, head, cluster_id, restore))
    if state.store_id is None:
        # Made by this cluster, which crashed before it noted so; nothing else was written then.
        if head.checkpoints:
            raise StoreMismatchError(_forgotten(store, head, restore))
        await _must_heed_conditions(store, head)
        return Binding(head, etag)
    if head.store_id != state.store_id:
        raise StoreMismatchError(
            f"{store.url} is store {uuid_text(head.store_id)}, but the cold data of cluster "
            f"{cluster_id} is in store {uuid_text(state.store_id)}. Set cold.url to where the data "
            "is."
        )
    own: Uuid = state.incarnations[-1]
    if head.incarnation != own:
        raise StoreMismatchError(
            f"Cluster {cluster_id} was restored from {store.url} under incarnation "
            f"{uuid_text(head.incarnation)}; this data directory is of {uuid_text(own)}, the one "
            "before. It must not write there: use the restored cluster, or set another cold.url."
        )
    return Binding(head, etag)


async def _must_heed_conditions(store: ObjectStore, head: Head) -> None:
    """Two writes of the head that must be refused; once, before anything else is written there.

    They say what the head says already, in other bytes: where they are not refused nothing is lost,
    and where an answer is, nobody takes what was there before for what they wrote.
    """
    data = encode_head(head) + b"\n"
    for header, if_match in (("If-None-Match", None), ("If-Match", NOBODYS_ETAG)):
        try:
            await until(store.put(HEAD_KEY, [data], if_absent=if_match is None, if_match=if_match))
        except PreconditionFailedError:
            continue
        raise UnfitStoreError(
            f"{store.url} ignores the condition of a write ({header}): of two brokers that take "
            "themselves for the same cluster it would stop none. No record was written there. "
            f"Next: tierbroker tier check {store.url} tells what the store must be able to do; "
            "set cold.url to one that is."
        )


async def look(store: ObjectStore, cluster_id: str, restore: str) -> None:
    """Make sure that the store is not another cluster's; writes nothing. `restore` as in `bind`.

    For a cluster that has no use for a store yet. Raises StoreMismatchError, and StoreError while
    the store does not answer.
    """
    found = await read_head(store)
    if found is None:
        return
    head, _ = found
    if head.cluster_id != cluster_id:
        raise StoreMismatchError(_other_cluster(store, head, cluster_id, restore))
    if head.checkpoints:
        raise StoreMismatchError(_forgotten(store, head, restore))


def _forgotten(store: ObjectStore, head: Head, restore: str) -> str:
    return (
        f"{store.url} holds records of this cluster, {head.cluster_id}, that the metadata in this "
        "data directory knows nothing of: another broker (Apache Kafka) has rewritten it, or it is "
        "older than the store. To go on without those records: choose another prefix. To bring the "
        f"cluster back as the store has it, on an empty disk: {restore}"
    )


def _other_cluster(store: ObjectStore, head: Head, cluster_id: str, restore: str) -> str:
    latest = head.latest
    state = "no checkpoint yet" if latest is None else f"checkpoint {latest.sequence}"
    return (
        f"{store.url} holds cluster {head.cluster_id} ({state}), and this data directory is of "
        f"cluster {cluster_id}. To start another one: choose another prefix. To bring that cluster "
        f"back on an empty disk: {restore}"
    )
