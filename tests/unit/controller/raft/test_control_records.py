"""Control records, against bytes that Apache Kafka 4.3.0 wrote."""

import pytest

from tierbroker.base.ids import parse_uuid
from tierbroker.controller.errors import MetadataCorruptError
from tierbroker.controller.raft.control_records import (
    kraft_version,
    leader_change,
    read_voters,
    snapshot_footer,
    snapshot_header,
    voters,
)
from tierbroker.controller.raft.types import ReplicaKey, Voter, VoterEndpoint, VoterSet

VOTERS = VoterSet(
    (
        Voter(
            ReplicaKey(1, parse_uuid("J7jcyOAqQ-ug6uHyEV9rwQ")),
            (VoterEndpoint("CONTROLLER", "localhost", 19093),),
        ),
    )
)
VOTERS_BYTES = bytes.fromhex(
    "0000020000000127b8dcc8e02a43eba0eae1f2115f6bc1020b434f4e54524f4c4c45520a6c6f63616c686f7374"
    "4a95000000000100"
    "0000"
)


def test_values_are_kafkas() -> None:
    assert leader_change(1, {1}, {1}).value == bytes.fromhex(
        "00000000000102000000010002000000010000"
    )
    assert kraft_version().value == bytes.fromhex("0000000100")
    assert snapshot_header(0).value == bytes.fromhex("0000000000000000000000")
    assert snapshot_footer().value == bytes.fromhex("000000")
    assert voters(VOTERS).value == VOTERS_BYTES


def test_voters_are_read_back() -> None:
    assert read_voters(VOTERS_BYTES) == VOTERS


@pytest.mark.parametrize("data", [b"", VOTERS_BYTES[:20], b"\x00\x00\xff\xff\xff\xff\x0f"])
def test_broken_voters_are_refused(data: bytes) -> None:
    with pytest.raises(MetadataCorruptError):
        read_voters(data)
