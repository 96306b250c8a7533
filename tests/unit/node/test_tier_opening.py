"""Which stores a broker does not even open."""

from pathlib import Path

import pytest

from tierbroker.base.errors import InvalidConfigError
from tierbroker.node.tier_opening import refuse_store_among_logs


@pytest.mark.parametrize("below", ["", "/", "/cold-1", "/cold-1/here", "/x/../cold-1"])
def test_a_store_that_a_start_would_take_for_logs(tmp_path: Path, below: str) -> None:
    logs = tmp_path / "data"
    with pytest.raises(InvalidConfigError, match=f"for example file://{logs}-cold"):
        refuse_store_among_logs(f"file://{logs}{below}", ["/elsewhere", str(logs)])


@pytest.mark.parametrize("place", ["-cold", "-1", "/cold", "/cold/t-0", "/..", "/../cold-1"])
def test_stores_elsewhere(tmp_path: Path, place: str) -> None:
    refuse_store_among_logs(f"file://{tmp_path}/data{place}", [f"{tmp_path}/data"])


@pytest.mark.parametrize("url", ["memory://", "s3://bucket/data/t-0"])
def test_stores_that_are_no_directory(url: str) -> None:
    refuse_store_among_logs(url, ["/data"])
