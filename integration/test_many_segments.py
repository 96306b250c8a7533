"""A broker with 10,000 segments in 1,000 partitions is there soon, stopped in order or not."""

import asyncio
from pathlib import Path

import pytest

from bench.restart import make_logs, start
from integration.conftest import CHOICE
from tierbroker.hot.clean_shutdown import CLEAN_SHUTDOWN_FILE

PARTITIONS, SEGMENTS = 1_000, 10
SEGMENT_BYTES = 16 << 10
CLEAN_S, UNCLEAN_S = 10, 30
"""Of the processor: what else this machine is busy with, and its disk, are not what is judged."""
CONNECTED_S = 3

pytestmark = [
    pytest.mark.skipif(CHOICE not in ("", "tierbroker"), reason="the broker of this test is fixed"),
]


@pytest.mark.timeout(1200)
def test_ten_thousand_segments_open_in_time(tmp_path: Path) -> None:
    data = tmp_path / "data"
    asyncio.run(make_logs(data, PARTITIONS, SEGMENTS, SEGMENT_BYTES))
    assert len(list(data.glob("many-*/*.log"))) == PARTITIONS * SEGMENTS
    _, served, cpu, _ = asyncio.run(start(data))
    print(f"after a clean stop: all served after {served:.2f} s, {cpu:.2f} CPU s")
    assert cpu <= CLEAN_S
    # What is left of a kill: every log is looked at from its recovery point on.
    (data / CLEAN_SHUTDOWN_FILE).unlink()
    connected, served, cpu, _ = asyncio.run(start(data))
    print(
        f"after a crash: connected after {connected:.2f} s, all served after {served:.2f} s, "
        f"{cpu:.2f} CPU s"
    )
    assert cpu <= UNCLEAN_S
    # Long before the logs are open; how long, also depends on how slow all is here.
    assert connected <= max(CONNECTED_S, served / 2)
