"""Deciding on features: the levels that all nodes agree on, and the first records of a log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from tierbroker.base.errors import InvalidUpdateVersionError
from tierbroker.controller.records.feature_level_record import FeatureLevelRecord
from tierbroker.controller.state.codec import METADATA_VERSION_LEVEL, MIN_METADATA_VERSION
from tierbroker.controller.state.image import METADATA_VERSION, MetadataImage, VersionRange
from tierbroker.controller.state.result import MetadataRecord, Result

KRAFT_VERSION = "kraft.version"
TRANSACTION_VERSION = "transaction.version"
TRANSACTION_LEVEL = 2
"""Level 1 adds tagged fields to the coordinator's records, level 2 is KIP-890."""
_KRAFT_LEVEL = 1
"""The first leader of a log writes its voters into it (KIP-853); that is no metadata record."""

SUPPORTED_FEATURES: Mapping[str, VersionRange] = {
    METADATA_VERSION: VersionRange(MIN_METADATA_VERSION, METADATA_VERSION_LEVEL),
    KRAFT_VERSION: VersionRange(0, 1),
    TRANSACTION_VERSION: VersionRange(0, TRANSACTION_LEVEL),
}
"""What this release supports. group.version is absent on purpose."""


@dataclass(frozen=True, slots=True)
class FinalizedFeatures:
    """What ApiVersions tells: levels, and an epoch that rises with every change."""

    levels: Mapping[str, int]
    epoch: int


def bootstrap_records(metadata_version: int = METADATA_VERSION_LEVEL) -> tuple[MetadataRecord, ...]:
    """The first records of an empty log."""
    assert MIN_METADATA_VERSION <= metadata_version <= METADATA_VERSION_LEVEL
    return (
        FeatureLevelRecord(METADATA_VERSION, metadata_version),
        FeatureLevelRecord(TRANSACTION_VERSION, TRANSACTION_LEVEL),
    )


def transaction_version(image: MetadataImage) -> int:
    """The level of transactions in force: below 2 the old protocol (KIP-890)."""
    return min(image.features.levels.get(TRANSACTION_VERSION, 0), TRANSACTION_LEVEL)


def finalized_features(image: MetadataImage) -> FinalizedFeatures:
    """The levels in force that this release supports; the epoch is the image's offset, as in Kafka.

    A log that Kafka wrote may carry features that clients would act on (group.version) and that
    are not here: they stay in the log, but are not told.
    """
    levels = {
        name: level for name, level in image.features.levels.items() if name in SUPPORTED_FEATURES
    }
    return FinalizedFeatures({**levels, KRAFT_VERSION: _KRAFT_LEVEL}, image.offset)


class UpgradeType(IntEnum):
    """What an update of a feature may do (org.apache.kafka.clients.admin.FeatureUpdate)."""

    UPGRADE = 1
    SAFE_DOWNGRADE = 2
    UNSAFE_DOWNGRADE = 3


@dataclass(frozen=True, slots=True)
class FeatureUpdate:
    """Set a feature to a level; 0 takes it away."""

    name: str
    level: int
    upgrade_type: int = UpgradeType.UPGRADE


def update_features(
    image: MetadataImage, updates: Sequence[FeatureUpdate], *, validate_only: bool = False
) -> Result[None]:
    """Set feature levels, all or none; raises InvalidUpdateVersionError."""
    levels = {update.name: update.level for update in updates if _checked(image, update)}
    records = tuple(FeatureLevelRecord(name, level) for name, level in levels.items())
    return Result(() if validate_only else records, None)


def _checked(image: MetadataImage, update: FeatureUpdate) -> bool:
    """The update is allowed; false if it changes nothing. Rules: FeatureControlManager in Kafka."""
    wanted = f"{update.name} cannot be set to {update.level}"
    if update.upgrade_type not in list(UpgradeType):
        raise InvalidUpdateVersionError(f"{wanted}: {update.upgrade_type} is no type of update.")
    supported = SUPPORTED_FEATURES.get(update.name)
    if supported is None:
        raise InvalidUpdateVersionError(f"{wanted}: there is no such feature here.")
    if not supported.min <= update.level <= supported.max:
        raise InvalidUpdateVersionError(
            f"{wanted}: supported are {supported.min} to {supported.max}."
        )
    current = _KRAFT_LEVEL
    if update.name != KRAFT_VERSION:
        current = image.features.levels.get(update.name, 0)
        _check_brokers(image, update, wanted)
    if update.level < current:
        if update.upgrade_type == UpgradeType.UPGRADE:
            raise InvalidUpdateVersionError(
                f"{wanted}: it is at {current}; no downgrade was asked."
            )
        if update.name == TRANSACTION_VERSION:
            return True
        # Records of the newer level may be in the log; an older node would not read them.
        raise InvalidUpdateVersionError(f"{wanted}: it cannot go back from {current}.")
    return update.level > current


def _check_brokers(image: MetadataImage, update: FeatureUpdate, wanted: str) -> None:
    for broker in image.brokers.values():
        versions = dict(broker.features).get(update.name)
        if versions is None or not versions.min <= update.level <= versions.max:
            raise InvalidUpdateVersionError(
                f"{wanted}: broker {broker.broker_id} does not support that."
            )
