"""Deciding on features: the levels that all nodes agree on, and the first records of a log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tierbroker.base.errors import FeatureUpdateFailedError, InvalidUpdateVersionError
from tierbroker.controller.records.feature_level_record import FeatureLevelRecord
from tierbroker.controller.state.codec import METADATA_VERSION_LEVEL, MIN_METADATA_VERSION
from tierbroker.controller.state.image import METADATA_VERSION, MetadataImage, VersionRange
from tierbroker.controller.state.result import MetadataRecord, Result

KRAFT_VERSION = "kraft.version"

SUPPORTED_FEATURES: Mapping[str, VersionRange] = {
    METADATA_VERSION: VersionRange(MIN_METADATA_VERSION, METADATA_VERSION_LEVEL),
    KRAFT_VERSION: VersionRange(0, 1),
}
"""What this release supports. transaction.version and group.version are absent on purpose."""


@dataclass(frozen=True, slots=True)
class FinalizedFeatures:
    """What ApiVersions tells: levels, and an epoch that rises with every change."""

    levels: Mapping[str, int]
    epoch: int


def bootstrap_records(metadata_version: int = METADATA_VERSION_LEVEL) -> tuple[MetadataRecord, ...]:
    """The first records of an empty log."""
    assert MIN_METADATA_VERSION <= metadata_version <= METADATA_VERSION_LEVEL
    return (FeatureLevelRecord(METADATA_VERSION, metadata_version),)


def finalized_features(image: MetadataImage) -> FinalizedFeatures:
    """The levels in force that this release supports; the epoch is the image's offset, as in Kafka.

    A log that Kafka wrote may carry features that clients would act on (transaction.version) and
    that are not here: they stay in the log, but are not told.
    """
    levels = {
        name: level for name, level in image.features.levels.items() if name in SUPPORTED_FEATURES
    }
    return FinalizedFeatures(levels, image.offset)


@dataclass(frozen=True, slots=True)
class FeatureUpdate:
    """Set a feature to a level; `allow_downgrade` as the UpdateFeatures request has it."""

    name: str
    level: int
    allow_downgrade: bool = False


def update_features(
    image: MetadataImage, updates: Sequence[FeatureUpdate], *, validate_only: bool = False
) -> Result[None]:
    """Set feature levels, all or none; raises FeatureUpdateFailedError."""
    records = [
        FeatureLevelRecord(update.name, update.level)
        for update in updates
        if _checked(image, update)
    ]
    return Result(() if validate_only else tuple(records), None)


def _checked(image: MetadataImage, update: FeatureUpdate) -> bool:
    """The update is allowed; false if it changes nothing."""
    supported = SUPPORTED_FEATURES.get(update.name)
    if supported is None or update.name == KRAFT_VERSION:
        raise FeatureUpdateFailedError(f"The feature {update.name} cannot be set here.")
    current = image.features.levels.get(update.name, 0)
    if update.level == current:
        return False
    if not supported.min <= update.level <= supported.max:
        raise FeatureUpdateFailedError(
            f"{update.name} {update.level} is not supported; known are"
            f" {supported.min} to {supported.max}."
        )
    for broker in image.brokers.values():
        versions = dict(broker.features).get(update.name)
        if versions is None or not versions.min <= update.level <= versions.max:
            raise FeatureUpdateFailedError(
                f"Broker {broker.broker_id} does not support {update.name} {update.level}."
            )
    if update.level < current:
        if not update.allow_downgrade:
            raise InvalidUpdateVersionError(
                f"{update.name} is at {current}; going back to {update.level} has to be allowed."
            )
        # Records of the newer level may be in the log; an older node would not read them.
        raise FeatureUpdateFailedError(f"{update.name} cannot go back from {current}.")
    return True
