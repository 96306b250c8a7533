from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.tier_state import TOPIC, segment
from tierbroker.cold.planner import TierConfig, next_upload
from tierbroker.cold.upload_lag import DUE, NO_LAG, UploadLag, first_not_uploaded, upload_lag
from tierbroker.records.tier.local import LocalSegment
from tierbroker.records.tier.segment import SegmentArray
from tierbroker.records.tier.state import PartitionTier

CONFIG = TierConfig(
    copies=True, copy_lag_ms=0, copy_lag_bytes=0, retention_ms=-1, retention_bytes=-1
)
CLOSED = [LocalSegment(10, 19, 100, 5_000), LocalSegment(20, 29, 50, 6_000)]
TIER = PartitionTier(TOPIC, 0, 0, segments=SegmentArray.of([segment(0, 9)]))


def lag(config: TierConfig = CONFIG, limit: int = 30, now_ms: int = 9_000) -> UploadLag:
    return upload_lag(TIER, CLOSED, limit, 7, config, now_ms)


def test_nothing_closed_is_no_lag() -> None:
    assert upload_lag(None, [], 0, 7, CONFIG, 0) == NO_LAG
    assert NO_LAG.waits_ms(1000) == 0


def test_the_lag_is_what_is_closed_and_not_there() -> None:
    found = lag()
    assert (found.size_bytes, found.segments, found.oldest) == (150, 2, CLOSED[0])
    assert found.reason == DUE
    assert found.waits_ms(9_000) == 4_000
    assert found.waits_ms(1_000) == 0


def test_it_begins_where_the_cold_part_ends() -> None:
    assert first_not_uploaded(TIER, 3) == 10
    assert first_not_uploaded(None, 3) == 3
    assert first_not_uploaded(PartitionTier(TOPIC, 0, 0), 3) == 3


def test_each_reason_is_said() -> None:
    assert "remote.log.copy.disable" in str(lag(replace(CONFIG, copies=False)).reason)
    assert "from offset 15 on" in str(lag(limit=15).reason)
    assert "for another 6 s" in str(lag(replace(CONFIG, copy_lag_ms=10_000)).reason)
    assert "copy.lag.bytes=500" in str(lag(replace(CONFIG, copy_lag_bytes=500)).reason)
    gap = upload_lag(TIER, CLOSED[1:], 30, 7, CONFIG, 9_000)
    assert "begins at offset 20" in str(gap.reason)


@given(
    copies=st.booleans(),
    lag_ms=st.sampled_from([0, 1_000, 10_000]),
    lag_bytes=st.sampled_from([0, 40, 500]),
    limit=st.integers(0, 40),
    skip=st.integers(0, 2),
    now_ms=st.integers(0, 20_000),
)
def test_it_agrees_with_the_planner(
    copies: bool, lag_ms: int, lag_bytes: int, limit: int, skip: int, now_ms: int
) -> None:
    config = replace(CONFIG, copies=copies, copy_lag_ms=lag_ms, copy_lag_bytes=lag_bytes)
    facts = TIER, CLOSED[skip:], limit, 7, config, now_ms
    is_due = next_upload(*facts) is not None
    assert (upload_lag(*facts).reason == DUE) == is_due
