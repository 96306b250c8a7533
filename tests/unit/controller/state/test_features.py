"""Deciding on features."""

from dataclasses import replace

import pytest

from tests.metadata_cluster import applied, cluster, registration, replayed
from tierbroker.base.errors import InvalidUpdateVersionError
from tierbroker.controller.records.feature_level_record import FeatureLevelRecord
from tierbroker.controller.state.brokers import register_broker
from tierbroker.controller.state.features import (
    FeatureUpdate,
    UpgradeType,
    bootstrap_records,
    finalized_features,
    transaction_version,
    update_features,
)
from tierbroker.controller.state.image import MetadataImage, VersionRange

TOLD = {"metadata.version": 30, "kraft.version": 1, "transaction.version": 2}


def test_the_bootstrap_sets_the_metadata_version() -> None:
    image = cluster()
    assert image.features.metadata_version == 30
    assert finalized_features(image).levels == TOLD
    assert finalized_features(image).epoch == image.offset


def test_features_that_are_not_supported_are_not_told() -> None:
    image = replayed(cluster(), [FeatureLevelRecord("group.version", 1)])
    assert finalized_features(image).levels == TOLD
    assert image.features.levels["group.version"] == 1


def test_a_level_of_zero_removes_the_feature() -> None:
    image = replayed(cluster(), [FeatureLevelRecord("group.version", 1)])
    image = replayed(image, [FeatureLevelRecord("group.version", 0)])
    assert "group.version" not in image.features.levels


def test_upgrade() -> None:
    image = replayed(MetadataImage(), bootstrap_records(29))
    result = update_features(image, [FeatureUpdate("metadata.version", 30)])
    assert applied(image, result).features.metadata_version == 30
    again = update_features(cluster(), [FeatureUpdate("metadata.version", 30)])
    assert again.records == ()
    tried = update_features(image, [FeatureUpdate("metadata.version", 30)], validate_only=True)
    assert tried.records == ()


@pytest.mark.parametrize(
    "update",
    [
        FeatureUpdate("metadata.version", 31),
        FeatureUpdate("metadata.version", 0, UpgradeType.SAFE_DOWNGRADE),
        FeatureUpdate("metadata.version", -1),
        FeatureUpdate("metadata.version", 30, 0),
        FeatureUpdate("metadata.version", 30, 9),
        FeatureUpdate("metadata.version", 29),
        FeatureUpdate("metadata.version", 29, UpgradeType.SAFE_DOWNGRADE),
        FeatureUpdate("metadata.version", 29, UpgradeType.UNSAFE_DOWNGRADE),
        FeatureUpdate("transaction.version", 1),
        FeatureUpdate("transaction.version", 3),
        FeatureUpdate("group.version", 1),
        FeatureUpdate("kraft.version", 0, UpgradeType.SAFE_DOWNGRADE),
        FeatureUpdate("kraft.version", 2),
    ],
)
def test_refused_updates(update: FeatureUpdate) -> None:
    with pytest.raises(InvalidUpdateVersionError):
        update_features(cluster(), [update])


def test_transactions_can_go_back_to_the_old_protocol_and_return() -> None:
    image = cluster()
    assert transaction_version(image) == 2
    for level in (0, 1):
        back = [FeatureUpdate("transaction.version", level, UpgradeType.SAFE_DOWNGRADE)]
        assert transaction_version(applied(image, update_features(image, back))) == level
    forth = [FeatureUpdate("transaction.version", 2)]
    older = applied(image, update_features(image, [replace(back[0], level=0)]))
    assert transaction_version(applied(older, update_features(older, forth))) == 2


def test_the_level_that_is_there_changes_nothing() -> None:
    same = [FeatureUpdate("metadata.version", 30), FeatureUpdate("kraft.version", 1)]
    assert update_features(cluster(), same).records == ()


def test_every_broker_must_support_the_level() -> None:
    image = replayed(MetadataImage(), bootstrap_records(29))
    old = (("metadata.version", VersionRange(7, 29)),)
    image = applied(image, register_broker(image, registration(1, features=old)))
    with pytest.raises(InvalidUpdateVersionError, match="broker 1"):
        update_features(image, [FeatureUpdate("metadata.version", 30)])
