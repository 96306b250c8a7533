"""Metadata records to bytes and back, at the versions that the metadata.version level prescribes.

A record is written at a version that every node of that level can read (the table is
MetadataVersion's in Kafka); it is read at whatever version it has.
"""

from collections.abc import Iterable

from tierbroker.controller.errors import MetadataCorruptError
from tierbroker.controller.records import frame, unframe
from tierbroker.controller.state.result import MetadataRecord
from tierbroker.serde.errors import DecodeError

MIN_METADATA_VERSION = 7
"""3.3-IV3: the oldest level that Kafka 4.3 reads."""
METADATA_VERSION_LEVEL = 30
"""4.3-IV0: the level of new clusters."""

# (lowest level, version) from the newest on, for records with more than one version.
_VERSIONS: dict[str, tuple[tuple[int, int], ...]] = {
    "RegisterBrokerRecord": ((30, 4), (17, 3), (8, 2), (0, 1)),
    "PartitionRecord": ((23, 2), (17, 1), (0, 0)),
    "PartitionChangeRecord": ((23, 2), (17, 1), (0, 0)),
    "BrokerRegistrationChangeRecord": ((30, 3), (17, 2), (7, 1)),
}


def record_version(kind: str, metadata_version: int) -> int:
    """The version at which a record of that class is written."""
    steps = _VERSIONS.get(kind, ())
    return next((version for level, version in steps if metadata_version >= level), 0)


def encode_records(records: Iterable[MetadataRecord], metadata_version: int) -> tuple[bytes, ...]:
    """The values of log records, framed."""
    return tuple(
        frame(record, record_version(type(record).__name__, metadata_version)) for record in records
    )


def decode_record(value: bytes) -> MetadataRecord:
    """The metadata record in a log record's value; raises MetadataCorruptError."""
    try:
        record, _ = unframe(value)
    except DecodeError as error:
        raise MetadataCorruptError(f"a metadata record does not decode: {error}") from error
    return record
