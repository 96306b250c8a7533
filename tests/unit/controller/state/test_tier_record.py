"""Events of the tier inside NoOpRecords."""

import pytest

from tests.metadata_cluster import replayed
from tests.tier_state import INCARNATION, STORE, TOPIC
from tierbroker.controller.errors import MetadataCorruptError
from tierbroker.controller.records.no_op_record import NoOpRecord
from tierbroker.controller.state.codec import decode_record, encode_records
from tierbroker.controller.state.image import MetadataImage
from tierbroker.controller.state.tier_record import TIER_TAG, tier_event, tier_record
from tierbroker.records.tier.events import TierCheckpointed, TierPurged, TierStoreBound

BOUND = TierStoreBound(STORE, INCARNATION)


def test_an_event_travels_through_the_log() -> None:
    (value,) = encode_records([tier_record(BOUND)], 30)
    assert value[:3] == b"\x01\x14\x00"  # frame version, NoOpRecord, its version
    assert tier_event(decode_record(value)) == BOUND


def test_a_record_without_an_event_means_nothing() -> None:
    before = MetadataImage()
    records = [NoOpRecord(), NoOpRecord({}), NoOpRecord({9_999: b"something else"})]
    assert [tier_event(record) for record in records] == [None, None, None]
    image = replayed(before, records)
    assert image.tier is before.tier
    assert image.offset == 2


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x08\x00", "newer tierbroker: start the version that wrote this data, or a later one"),
        (b"\x01\x01" + bytes(32), "kind 1, version 1, was made by a newer tierbroker"),
        (b"\x01\x00", "kind 1"),
        (b"", "0 bytes"),
    ],
)
def test_what_cannot_be_read_stops_the_log(data: bytes, reason: str) -> None:
    with pytest.raises(MetadataCorruptError, match=reason):
        replayed(MetadataImage(), [NoOpRecord({TIER_TAG: data})])


def test_what_cannot_have_happened_stops_the_log() -> None:
    with pytest.raises(MetadataCorruptError, match="not being purged"):
        replayed(MetadataImage(), [tier_record(TierPurged(TOPIC))])


def test_the_image_has_what_happened() -> None:
    image = replayed(MetadataImage(), map(tier_record, [BOUND, TierCheckpointed(1, 0, 5)]))
    assert image.tier.incarnations == (INCARNATION,)
    assert image.tier.checkpointed_offset == 0
