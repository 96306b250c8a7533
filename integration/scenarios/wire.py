"""Requests that are no good as bytes: cut short, too long, with lengths that cannot be."""

import struct
from collections.abc import Iterable
from typing import Any

from integration.differential.messages import build_request, module_of
from integration.differential.script import Connection, Run
from tests.broker.wire_client import WireClient, encode_header, encode_request, framed
from tierbroker.wire.api_keys import ApiKey as Api

NUMBER = 7
# Requests without a body that could be cut, or whose defaults mean everything there is.
LEFT_OUT = {Api.API_VERSIONS, Api.ELECT_LEADERS}


def _answered(wire: WireClient) -> str:
    frame = wire.receive_frame()
    (number,) = struct.unpack_from(">i", frame)
    assert number == NUMBER, frame.hex()
    return "answers"


def _send(client: Connection, what: str, frame: bytes) -> None:
    client.send_bytes(what, framed(frame), _answered)


def _apis(run: Run) -> Iterable[tuple[Api, int]]:
    """Each API with its first and its last version."""
    for key, versions in sorted(run.setting.versions.items()):
        if key not in LEFT_OUT and len(versions):
            yield from ((key, version) for version in {versions[0], versions[-1]})


def cut_short(run: Run) -> None:
    """The last byte is missing: the connection is closed."""
    client = run.connect()
    for key, version in _apis(run):
        frame = encode_request(build_request(key, {}), version, NUMBER)
        _send(client, f"{module_of(key).NAME} v{version}", frame[:-1])


_MARKER = {
    "producer_id": 1 << 40,
    "producer_epoch": 0,
    "transaction_result": False,
    "topics": [{"name": "no-such", "partition_indexes": [0]}],
    "coordinator_epoch": 0,
}
_ASKED = [{"name": "no-such", "partitions": [0]}]
_ANSWERED: dict[Api, dict[str, Any]] = {
    Api.PRODUCE: {"acks": -1, "timeout_ms": 10_000},
    Api.ADD_PARTITIONS_TO_TXN: {
        "transactions": [{"transactional_id": "nobody", "topics": _ASKED}],
        "v3_and_below_transactional_id": "nobody",
        "v3_and_below_topics": _ASKED,
    },
    Api.WRITE_TXN_MARKERS: {"markers": [_MARKER]},
}
"""By default acks is 0; and Kafka never answers who names no transaction or no marker."""


def too_long(run: Run) -> None:
    """Bytes after the request are not looked at."""
    client = run.connect()
    for key, version in _apis(run):
        fields = _of_version(key, version)
        frame = encode_request(build_request(key, fields), version, NUMBER)
        _send(client, f"{module_of(key).NAME} v{version}", frame + b"\x00\x01\x02\x03")


def _of_version(key: Api, version: int) -> dict[str, Any]:
    """Enough of a request for an answer, in the fields that the version has."""
    fields = _ANSWERED.get(key, {})
    if key is not Api.ADD_PARTITIONS_TO_TXN:
        return fields
    old = version < 4
    return {name: value for name, value in fields.items() if name.startswith("v3_") is old}


def lengths_that_cannot_be(run: Run) -> None:
    """Arrays and texts that claim to be longer than the request, or negative."""
    client = run.connect()
    for claim in (-2, 5, 1 << 20, 2**31 - 1):
        body = struct.pack(">i", claim)
        _send(client, f"Metadata v1, {claim} topics", encode_header(Api.METADATA, 1, NUMBER) + body)
    for claim in (-2, 5, 2**15 - 1):
        body = struct.pack(">ih", 1, claim)
        _send(
            client, f"Metadata v1, a name of {claim}", encode_header(Api.METADATA, 1, NUMBER) + body
        )
    for claim in (b"\x05", b"\xff\xff\xff\xff\x0f", b"\xff\xff\xff\xff\xff\xff"):
        frame = encode_header(Api.METADATA, 12, NUMBER, flexible=True) + claim
        _send(client, f"Metadata v12, topics {claim.hex()}", frame)
    run.note("a null name where there is none")
    body = struct.pack(">ih", 1, -1)
    _send(client, "Metadata v1", encode_header(Api.METADATA, 1, NUMBER) + body)
    run.note("tagged fields that nobody knows")
    whole = encode_request(build_request(Api.METADATA, {"topics": []}), 12, NUMBER)
    _send(client, "Metadata v12", whole[:-1] + b"\x01\x63\x02ab")
    run.note("a tagged field that is cut short")
    _send(client, "Metadata v12", whole[:-1] + b"\x01\x63\x09ab")


def headers(run: Run) -> None:
    """Frames too small for a header, and clients without a name."""
    client = run.connect()
    for size in range(0, 10, 3):
        _send(client, f"a frame of {size} bytes", bytes(size))
    for name in ("x" * 1000, "", None):
        what = name if name is None else len(name)
        frame = encode_header(Api.METADATA, 1, NUMBER, client_id=name) + struct.pack(">i", 0)
        _send(client, f"a client's name of {what}", frame)
    for size in (-1, 101 << 20, 2**31 - 1):
        client.send_bytes(f"a size of {size}", struct.pack(">i", size), _answered)
