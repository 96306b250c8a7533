"""Every API, version and direction: kio reads what we write and writes the same bytes."""

import dataclasses
import datetime
import enum
import io
import uuid
from random import Random
from typing import Any

import pytest
from kio.index import load_payload_module
from kio.serial import entity_reader, entity_writer
from kio.static.constants import EntityType

from tests.message_samples import REQUESTS, RESPONSES, Sampler, api_sampler
from tierbroker.wire import messages
from tools.codegen.layout import attribute, may_be_missing
from tools.schema import Field

# kio describes stable versions only.
UNSTABLE = {(22, 6)}

CASES = [
    pytest.param(message.key, kind, id=f"{message.name}-{kind}")
    for kind, group in (("request", REQUESTS), ("response", RESPONSES))
    for message in group.values()
]


def kio_class(key: int, kind: str, version: int) -> type[Any]:
    module = load_payload_module(key, version, EntityType[kind])
    found = [
        value
        for value in vars(module).values()
        if getattr(value, "__type__", None) is EntityType[kind]
    ]
    assert len(found) == 1
    return found[0]


def plain(value: Any) -> Any:
    """kio's rich values as what we hold."""
    if isinstance(value, uuid.UUID):
        return value.bytes
    if isinstance(value, datetime.timedelta):
        return round(value / datetime.timedelta(milliseconds=1))
    if isinstance(value, datetime.datetime):
        return round(value.timestamp() * 1000)
    if isinstance(value, enum.Enum):
        return value.value
    return value


def assert_same(
    sampler: Sampler, fields: tuple[Field, ...], ours: Any, theirs: Any, v: int
) -> None:
    """Field by field, in the order of the descriptor."""
    present = [field for field in fields if v in field.versions]
    their_fields = dataclasses.fields(theirs)
    assert len(present) == len(their_fields)
    for field, their_field in zip(present, their_fields, strict=True):
        name = attribute(field)
        assert name.replace("_", "").startswith(their_field.name.replace("_", "")), name
        mine, other = getattr(ours, name), getattr(theirs, their_field.name)
        if mine is None and may_be_missing(field):
            mine = getattr(sampler.module, sampler.class_for(field.type))()
        if field.is_struct and mine is not None:
            inner = sampler.fields_of(field)
            if not field.is_array:
                mine, other = [mine], [other]
            for one, another in zip(mine, other, strict=True):
                assert_same(sampler, inner, one, another, v)
        elif field.is_array and mine is not None:
            assert (
                [plain(x) or bytes(16) for x in other] == mine
                if field.element_type == "uuid"
                else [plain(x) for x in other] == mine
            ), name
        elif field.type == "uuid":
            assert (plain(other) or bytes(16)) == mine, name
        elif other is None and isinstance(mine, int):
            assert mine == -1, name  # a time that is not known
        else:
            assert plain(other) == mine, name


@pytest.mark.parametrize(("key", "kind"), CASES)
def test_kio_reads_and_writes_the_same_bytes(key: int, kind: str) -> None:
    module = messages.load(key)
    encode, decode = getattr(module, f"encode_{kind}"), getattr(module, f"decode_{kind}")
    rng = Random(key)
    for version in REQUESTS[key].versions:
        for fullness in (0.0, 0.5, 0.9, 1.0):
            sampler = api_sampler(key, kind, rng, fullness)
            ours = sampler.instance(version)
            data = encode(ours, version)
            again, end = decode(data, 0, version)
            assert end == len(data)
            assert again == ours
            assert encode(again, version) == data
            if (key, version) in UNSTABLE:
                continue
            cls = kio_class(key, kind, version)
            theirs, size = entity_reader(cls)(data, 0)
            assert size == len(data), (version, ours)
            assert_same(sampler, sampler.message.fields, ours, theirs, version)
            written = io.BytesIO()
            entity_writer(cls)(written, theirs)
            assert written.getvalue() == data, (version, ours)
