"""The handler of UpdateFeatures: all or none, and in each version its own way of saying so."""

import pathlib

import pytest

from tests.handler_bench import HandlerBench
from tests.metadata_cluster import replayed
from tierbroker.broker.handlers import update_features
from tierbroker.controller.state.features import bootstrap_records
from tierbroker.controller.state.image import MetadataImage
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.update_features import (
    FeatureUpdateKey,
    UpdateFeaturesRequest,
    UpdateFeaturesResponse,
)

SAFE_DOWNGRADE = 2


async def update(
    bench: HandlerBench, version: int, *updates: FeatureUpdateKey
) -> UpdateFeaturesResponse:
    request = UpdateFeaturesRequest(feature_updates=list(updates))
    return await update_features.handle(request, bench.context(version))


@pytest.mark.parametrize(("version", "named"), [(0, True), (1, True), (2, False)])
async def test_an_upgrade(tmp_path: pathlib.Path, version: int, named: bool) -> None:
    bench = HandlerBench(tmp_path)
    bench.controller.image = replayed(MetadataImage(), bootstrap_records(29))
    answer = await update(bench, version, FeatureUpdateKey("metadata.version", 30))
    assert (answer.error_code, answer.error_message) == (ErrorCode.NONE, None)
    assert [one.feature for one in answer.results] == ["metadata.version"] * named
    assert bench.controller.image.features.metadata_version == 30


@pytest.mark.parametrize("version", [0, 1, 2])
async def test_one_bad_update_spoils_all(tmp_path: pathlib.Path, version: int) -> None:
    bench = HandlerBench(tmp_path)
    bench.controller.image = replayed(MetadataImage(), bootstrap_records(29))
    updates = [FeatureUpdateKey("metadata.version", 30), FeatureUpdateKey("no.such", 1)]
    answer = await update(bench, version, *updates)
    assert answer.error_code == ErrorCode.INVALID_UPDATE_VERSION
    assert "no.such" in (answer.error_message or "")
    assert answer.results == []
    assert bench.controller.image.features.metadata_version == 29


async def test_what_a_downgrade_is_asked_by(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path)
    old = FeatureUpdateKey("metadata.version", 29, allow_downgrade=True)
    new = FeatureUpdateKey("metadata.version", 29, upgrade_type=SAFE_DOWNGRADE)
    for version, key, asked in ((0, old, True), (1, old, False), (1, new, True), (0, new, False)):
        message = (await update(bench, version, key)).error_message or ""
        assert ("no downgrade was asked" not in message) == asked
