"""Events of the object tier as records of the metadata log.

They travel as a tagged field of a NoOpRecord, so that Kafka's own tools read the log and see
records that do nothing (D-4). A NoOpRecord without the field is just that.
"""

from tierbroker.controller.errors import MetadataCorruptError
from tierbroker.controller.records.no_op_record import NoOpRecord
from tierbroker.controller.state.result import MetadataRecord
from tierbroker.records.tier.errors import CorruptTierEventError
from tierbroker.records.tier.events import TierEvent, decode, encode

TIER_TAG = 10_000


def tier_record(event: TierEvent) -> NoOpRecord:
    """The record that carries the event."""
    return NoOpRecord({TIER_TAG: encode(event)})


def tier_event(record: MetadataRecord) -> TierEvent | None:
    """The event that a NoOpRecord carries, None if it carries none; MetadataCorruptError."""
    fields = record.unknown_tagged_fields
    if not fields or TIER_TAG not in fields:
        return None
    try:
        return decode(bytes(fields[TIER_TAG]))
    except CorruptTierEventError as error:
        raise MetadataCorruptError(str(error)) from error
