"""UpdateFeatures (key 57), versions 0 to 2.

Flexible from the start. v1 types of update and validation alone. v2 no list of results (KIP-1022).
All updates are made or none. metadata.version and kraft.version are at the highest level that
there is from the first start on, so that most requests change nothing or are refused.
"""

from tierbroker.base.errors import ApiError
from tierbroker.broker.api import RequestContext
from tierbroker.controller.state.features import FeatureUpdate, UpgradeType, update_features
from tierbroker.wire.error_codes import code_and_message
from tierbroker.wire.messages.update_features import (
    FeatureUpdateKey,
    UpdatableFeatureResult,
    UpdateFeaturesRequest,
    UpdateFeaturesResponse,
)

_TYPES_SINCE = 1
_NO_RESULTS_SINCE = 2


async def handle(request: UpdateFeaturesRequest, context: RequestContext) -> UpdateFeaturesResponse:
    """Set the features, or say why not."""
    updates = [
        FeatureUpdate(update.feature, update.max_version_level, _type(update, context.api_version))
        for update in request.feature_updates
    ]
    try:
        await context.broker.controller.submit(
            lambda image: update_features(image, updates, validate_only=request.validate_only)
        )
    except ApiError as error:
        code, message = code_and_message(error)
        return UpdateFeaturesResponse(error_code=code, error_message=message, results=[])
    results = []
    if context.api_version < _NO_RESULTS_SINCE:
        names = dict.fromkeys(update.name for update in updates)
        # Kafka names the code where the message of an error would be.
        results = [UpdatableFeatureResult(name, 0, "NONE") for name in names]
    return UpdateFeaturesResponse(error_message=None, results=results)


def _type(update: FeatureUpdateKey, version: int) -> int:
    if version >= _TYPES_SINCE:
        return update.upgrade_type
    return UpgradeType.SAFE_DOWNGRADE if update.allow_downgrade else UpgradeType.UPGRADE
