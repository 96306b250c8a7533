"""Real requests, and how to spoil them: what the fuzz test sends.

The corpus has every advertised API at every version with sample values, requests that hit a topic
that exists, and whatever was recorded from a client. All choices come from the given random
source, so that a seed says what was sent.
"""

import struct
from collections.abc import Sequence
from random import Random
from typing import Any

from tests.broker.group_calls import (
    commit_request,
    join_request,
    leave_request,
    offsets_request,
    subscription,
)
from tests.broker.wire_calls import batch_of, fetch_request, produce_request
from tests.broker.wire_client import encode_request
from tests.message_samples import api_sampler
from tierbroker.broker.registry import SPECS
from tierbroker.records.compression import Codec
from tierbroker.wire.api_keys import ApiKey
from tierbroker.wire.messages.delete_groups import DeleteGroupsRequest
from tierbroker.wire.messages.describe_groups import DescribeGroupsRequest
from tierbroker.wire.messages.find_coordinator import FindCoordinatorRequest
from tierbroker.wire.messages.heartbeat import HeartbeatRequest
from tierbroker.wire.messages.list_groups import ListGroupsRequest
from tierbroker.wire.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from tierbroker.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from tierbroker.wire.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)
from tierbroker.wire.messages.sync_group import SyncGroupRequest

_FIRST_VERSION = {ApiKey.PRODUCE: 3}
_SAMPLES_PER_VERSION = 3
_NUMBERS = (0, 1, -1, -2, 2, 127, 128, 255, 32767, -32768, 65535, 2**31 - 1, -(2**31), 1 << 24)


def sampled_requests(rng: Random) -> list[bytes]:
    """Every advertised API at every version, with a few sets of sample values each."""
    frames = []
    for spec in SPECS:
        first = max(spec.min_version, _FIRST_VERSION.get(spec.key, 0))
        for version in range(first, spec.max_version + 1):
            for fullness in (0.3, 0.7, 1.0)[:_SAMPLES_PER_VERSION]:
                request = api_sampler(spec.key, "request", rng, fullness).instance(version)
                frames.append(encode_request(request, version, rng.randrange(1 << 31)))
    return frames


def meant_requests(topic: str) -> list[bytes]:
    """Requests that a broker with that topic can serve: they get further than random values do."""
    batches = [batch_of([b"value %d" % n for n in range(4)], key=b"k", codec=c) for c in Codec]
    batches.append(batch_of(producer_id=7, producer_epoch=0, base_sequence=0))
    produces = [
        encode_request(produce_request(topic, batch, acks=acks), version)
        for batch in batches
        for version in (3, 8, 9, 11)
        for acks in (-1, 1, 0)
    ]
    fetches = [
        encode_request(fetch_request(topic, offset, **how), version)
        for offset in (0, 3)
        for version in (4, 7, 11, 12)
        for how in ({}, {"session_epoch": 0})
    ]
    asked = [ListOffsetsPartition(partition_index=0, timestamp=time) for time in (-1, -2, 0)]
    others = [
        encode_request(
            ListOffsetsRequest(topics=[ListOffsetsTopic(name=topic, partitions=asked)]), version
        )
        for version in (1, 5, 7)
    ]
    others += [
        encode_request(MetadataRequest(topics=[MetadataRequestTopic(name=topic)]), version)
        for version in (1, 9, 12)
    ]
    return [*produces, *fetches, *others, *_group_requests(topic)]


def _group_requests(topic: str) -> list[bytes]:
    """A group from its first member to its end; whoever waits for others does so for a moment."""
    group = "fuzzed"
    soon = {"session_timeout_ms": 6000, "rebalance_timeout_ms": 100}
    requests: list[tuple[Any, Sequence[int]]] = [
        (FindCoordinatorRequest(key=group), (0, 3)),
        (join_request(group, protocols={"range": subscription(topic)}, **soon), (0, 3, 5, 9)),
        (join_request(group, group_instance_id="static", **soon), (5, 9)),
        (SyncGroupRequest(group, 1, "member"), (0, 4)),
        (HeartbeatRequest(group, 1, "member"), (0, 4)),
        (commit_request(group, {topic: {0: 1}}), (2, 7, 9)),
        (offsets_request(group, {topic: [0]}, 1), (1, 7)),
        (offsets_request(group, None, 8), (8, 9)),
        (leave_request(group, "member", 0), (0, 2)),
        (leave_request(group, "member", 3), (3, 5)),
        (DescribeGroupsRequest([group], True), (3, 6)),
        (ListGroupsRequest(), (0, 5)),
        (DeleteGroupsRequest([group]), (0, 2)),
        (
            OffsetDeleteRequest(
                group, [OffsetDeleteRequestTopic(topic, [OffsetDeleteRequestPartition(0)])]
            ),
            (0,),
        ),
    ]
    return [
        encode_request(request, version) for request, versions in requests for version in versions
    ]


def spoil(frame: bytes, corpus: Sequence[bytes], rng: Random) -> bytes:
    """The frame with one to three things wrong with it."""
    data = bytearray(frame)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if len(data) > 12:
            rng.choice(_SPOILERS)(data, corpus, rng)
    return bytes(data)


def _flip(data: bytearray, corpus: Sequence[bytes], rng: Random) -> None:
    for _ in range(rng.randint(1, 6)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _overwrite(data: bytearray, corpus: Sequence[bytes], rng: Random) -> None:
    position = rng.randrange(len(data))
    piece = rng.randbytes(rng.randint(1, 16))
    data[position : position + len(piece)] = piece


def _set_number(data: bytearray, corpus: Sequence[bytes], rng: Random) -> None:
    """Counts, lengths, ids and versions are two or four bytes wide, or a varint."""
    number = rng.choice(_NUMBERS)
    width = rng.choice((2, 4, 8))
    piece = (number & ((1 << width * 8) - 1)).to_bytes(width, "big")
    if rng.random() < 0.3:
        piece = b"\xff" * rng.randint(1, 5) + bytes([rng.randrange(128)])
    position = rng.randrange(max(1, len(data) - len(piece)))
    data[position : position + len(piece)] = piece


def _set_version(data: bytearray, corpus: Sequence[bytes], rng: Random) -> None:
    struct.pack_into(">h", data, 2, rng.randrange(0, 19))


def _set_key(data: bytearray, corpus: Sequence[bytes], rng: Random) -> None:
    struct.pack_into(">h", data, 0, rng.choice([int(spec.key) for spec in SPECS]))


def _truncate(data: bytearray, corpus: Sequence[bytes], rng: Random) -> None:
    del data[rng.randrange(8, len(data)) :]


def _remove(data: bytearray, corpus: Sequence[bytes], rng: Random) -> None:
    position = rng.randrange(8, len(data))
    del data[position : position + rng.randint(1, 12)]


def _repeat(data: bytearray, corpus: Sequence[bytes], rng: Random) -> None:
    start = rng.randrange(8, len(data))
    piece = data[start : start + rng.randint(1, 64)]
    data[start:start] = piece * rng.choice((1, 2, 50))


def _splice(data: bytearray, corpus: Sequence[bytes], rng: Random) -> None:
    other = rng.choice(corpus)
    data[rng.randrange(8, len(data)) :] = other[rng.randrange(len(other)) :]


_SPOILERS = (
    *(_flip, _overwrite, _set_number, _set_number, _set_version, _set_key),
    *(_truncate, _remove, _repeat, _splice, _splice),
)
