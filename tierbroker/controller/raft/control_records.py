"""The control records of a metadata log: what the log says about itself, not about the cluster.

Values are Kafka's, by the generated codecs; this module only knows which fields KRaft fills.
"""

from collections.abc import Iterable

from tierbroker.base.ids import Uuid
from tierbroker.controller.errors import MetadataCorruptError
from tierbroker.controller.raft.types import (
    ControlRecord,
    ReplicaKey,
    Voter,
    VoterEndpoint,
    VoterSet,
)
from tierbroker.controller.records import (
    kraft_version_record,
    leader_change_message,
    snapshot_footer_record,
    snapshot_header_record,
    voters_record,
)
from tierbroker.records.control import ControlType
from tierbroker.serde.errors import DecodeError

KRAFT_VERSION = 1
"""kraft.version: voters are replicated in the log (KIP-853)."""

_VERSION = 0


def leader_change(leader_id: int, voters: Iterable[int], granting: Iterable[int]) -> ControlRecord:
    """The first record of every epoch."""
    value = leader_change_message.encode(
        leader_change_message.LeaderChangeMessage(
            leader_id=leader_id,
            voters=[leader_change_message.Voter(node) for node in sorted(voters)],
            granting_voters=[leader_change_message.Voter(node) for node in sorted(granting)],
        ),
        _VERSION,
    )
    return ControlRecord(ControlType.LEADER_CHANGE, value)


def kraft_version(level: int = KRAFT_VERSION) -> ControlRecord:
    """The kraft.version in force from here on."""
    record = kraft_version_record.KRaftVersionRecord(kraft_version=level)
    return ControlRecord(ControlType.KRAFT_VERSION, kraft_version_record.encode(record, _VERSION))


def voters(voter_set: VoterSet) -> ControlRecord:
    """The voters in force from here on."""
    supported = voters_record.KRaftVersionFeature(0, KRAFT_VERSION)
    record = voters_record.VotersRecord(
        voters=[
            voters_record.Voter(
                voter_id=voter.key.id,
                voter_directory_id=voter.key.directory_id,
                endpoints=[
                    voters_record.Endpoint(point.name, point.host, point.port)
                    for point in voter.endpoints
                ],
                kraft_version_feature=supported,
            )
            for voter in voter_set.voters
        ]
    )
    return ControlRecord(ControlType.KRAFT_VOTERS, voters_record.encode(record, _VERSION))


def snapshot_header(last_contained_timestamp_ms: int) -> ControlRecord:
    """The first record of every snapshot."""
    record = snapshot_header_record.SnapshotHeaderRecord(
        last_contained_log_timestamp=last_contained_timestamp_ms
    )
    return ControlRecord(
        ControlType.SNAPSHOT_HEADER, snapshot_header_record.encode(record, _VERSION)
    )


def snapshot_footer() -> ControlRecord:
    """The last record of every snapshot; one without it is not whole."""
    record = snapshot_footer_record.SnapshotFooterRecord()
    return ControlRecord(
        ControlType.SNAPSHOT_FOOTER, snapshot_footer_record.encode(record, _VERSION)
    )


def read_voters(value: bytes) -> VoterSet:
    """Read a VotersRecord; raises MetadataCorruptError."""
    try:
        record, _ = voters_record.decode(value, 0, _VERSION)
    except DecodeError as error:
        raise MetadataCorruptError(f"a VotersRecord does not decode: {error}") from error
    return VoterSet(
        tuple(
            Voter(
                ReplicaKey(voter.voter_id, Uuid(voter.voter_directory_id)),
                tuple(
                    VoterEndpoint(point.name, point.host, point.port) for point in voter.endpoints
                ),
            )
            for voter in record.voters
        )
    )
