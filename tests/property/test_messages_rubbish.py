"""Decoders on truncated, mutated and random bytes: a message or DecodeError, and little memory."""

import tracemalloc
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.message_samples import METADATA_RECORDS, REQUESTS, RESPONSES, Sampler, api_sampler
from tierbroker.controller import records
from tierbroker.serde.errors import DecodeError
from tierbroker.wire import fetch, messages, produce
from tierbroker.wire.header import decode_request_header

CASES = [
    pytest.param(message.key, kind, id=f"{message.name}-{kind}")
    for kind, group in (("request", REQUESTS), ("response", RESPONSES))
    for message in group.values()
]

# Bytes of decoded objects for each byte of input: the worst is an array of the smallest structs.
MEMORY_FACTOR = 400


def outcome(decode: Callable[..., Any], *arguments: object) -> Any:
    """What decoding answers; any error but DecodeError is a failure of the test."""
    try:
        return decode(*arguments)
    except DecodeError:
        return DecodeError


def mutants(data: bytes, rng: Random, count: int) -> list[bytes]:
    """Copies with a byte, a length or a whole stretch made wrong."""
    made = []
    for _ in range(count):
        broken = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 8))):
            if not broken:
                break
            at = rng.randrange(len(broken))
            choice = rng.randrange(4)
            if choice == 0:
                broken[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            elif choice == 1:
                broken[at : at + 4] = rng.choice((b"\x7f\xff\xff\xff", b"\xff\xff\xff\xfe", b"\0"))
            elif choice == 2:
                del broken[at : at + rng.randrange(1, 8)]
            else:
                broken[at:at] = rng.randbytes(rng.randrange(1, 8))
        made.append(bytes(broken))
    return made


@pytest.mark.parametrize(("key", "kind"), CASES)
def test_truncated_messages_are_refused(key: int, kind: str) -> None:
    module = messages.load(key)
    encode, decode = getattr(module, f"encode_{kind}"), getattr(module, f"decode_{kind}")
    rng = Random(key)
    for version in REQUESTS[key].versions:
        data = encode(api_sampler(key, kind, rng, 0.8).instance(version), version)
        cuts = range(len(data)) if len(data) < 100 else rng.sample(range(len(data)), 100)
        for cut in cuts:
            with pytest.raises(DecodeError):
                decode(data[:cut], 0, version)


@pytest.mark.parametrize(("key", "kind"), CASES)
def test_mutated_messages_decode_or_are_refused(key: int, kind: str) -> None:
    module = messages.load(key)
    encode, decode = getattr(module, f"encode_{kind}"), getattr(module, f"decode_{kind}")
    rng = Random(key)
    for version in REQUESTS[key].versions:
        data = encode(api_sampler(key, kind, rng, 0.9).instance(version), version)
        for broken in mutants(data, rng, 40):
            found = outcome(decode, broken, 0, version)
            if found is not DecodeError:
                assert found[1] <= len(broken)


@pytest.mark.parametrize("key", list(METADATA_RECORDS))
def test_mutated_metadata_records_decode_or_are_refused(key: int) -> None:
    message = METADATA_RECORDS[key]
    rng = Random(key)
    for version in message.versions:
        sampler = Sampler(records.load(key), message, message.name, rng, 0.9)
        for _ in range(5):
            record = sampler.instance(version)
            record.unknown_tagged_fields = {10000: rng.randbytes(5)}
            data = records.frame(record, version)
            assert records.unframe(data) == (record, version)
            for cut in range(len(data)):
                assert outcome(records.unframe, data[:cut]) is DecodeError
            for broken in mutants(data, rng, 20):
                outcome(records.unframe, broken)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(sorted(REQUESTS)), st.data())
def test_random_bytes(data: bytes, key: int, draw: st.DataObject) -> None:
    version = draw.draw(st.sampled_from(list(REQUESTS[key].versions)))
    module = messages.load(key)
    outcome(module.decode_request, data, 0, version)
    outcome(module.decode_response, data, 0, version)
    outcome(decode_request_header, data)
    outcome(records.unframe, data)


@pytest.mark.parametrize(
    ("decode", "key", "versions"),
    [(produce.decode_produce, 0, range(3, 14)), (fetch.decode_fetch, 1, range(4, 19))],
)
def test_mutated_hot_requests_use_little_memory(
    decode: Callable[[bytes, int, int], object], key: int, versions: range
) -> None:
    rng = Random(key)
    module = messages.load(key)
    for version in versions:
        data = module.encode_request(
            api_sampler(key, "request", rng, 1.0).instance(version), version
        )
        tracemalloc.start()
        for broken in mutants(data, rng, 60):
            outcome(decode, broken, 0, version)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 60 * MEMORY_FACTOR * len(data) + 100_000


@pytest.mark.parametrize(("key", "kind"), CASES)
def test_a_frame_of_equal_bytes_allocates_in_proportion(key: int, kind: str) -> None:
    """Every count reads as the same huge or small number; none is believed beyond its bytes."""
    decode = getattr(messages.load(key), f"decode_{kind}")
    version = REQUESTS[key].versions.last
    for byte in (0x00, 0x01, 0x02, 0x7F, 0x80, 0xFF):
        data = bytes((byte,)) * 4000
        tracemalloc.start()
        outcome(decode, data, 0, version)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < MEMORY_FACTOR * len(data)
