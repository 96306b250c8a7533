"""ApiVersions (key 18), versions 0 to 4.

v1 throttle time. v3 flexible, client software name and version, features (KIP-511, KIP-584). v4
features whose range starts at 0 (KAFKA-17011). The response header is always version 0, and a
request of an unknown version is answered in version 0 with error 35 and this API's own range, so
that any client finds a version to go on with. Client telemetry is not advertised: nobody would
receive it.
"""

from tierbroker.broker.api import RequestContext
from tierbroker.broker.registry import SPECS
from tierbroker.controller.state.features import SUPPORTED_FEATURES, finalized_features
from tierbroker.wire.api_keys import ApiKey
from tierbroker.wire.client_software import is_software_name
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.api_versions import (
    ApiVersion,
    ApiVersionsRequest,
    ApiVersionsResponse,
    FinalizedFeatureKey,
    SupportedFeatureKey,
)

_SOFTWARE_SINCE = 3
_ZERO_FEATURES_SINCE = 4


def handle(request: ApiVersionsRequest, context: RequestContext) -> ApiVersionsResponse:
    """List the APIs with their versions and the features of the cluster."""
    if context.api_version >= _SOFTWARE_SINCE:
        name, version = request.client_software_name, request.client_software_version
        if not (is_software_name(name) and is_software_name(version)):
            return ApiVersionsResponse(error_code=ErrorCode.INVALID_REQUEST)
        context.session.client_software_name = name
        context.session.client_software_version = version
    finalized = finalized_features(context.broker.image)
    lowest = 0 if context.api_version >= _ZERO_FEATURES_SINCE else 1
    return ApiVersionsResponse(
        api_keys=[
            ApiVersion(api_key=spec.key, min_version=spec.min_version, max_version=spec.max_version)
            for spec in SPECS
        ],
        supported_features=[
            SupportedFeatureKey(name=name, min_version=levels.min, max_version=levels.max)
            for name, levels in SUPPORTED_FEATURES.items()
            if levels.min >= lowest
        ],
        finalized_features_epoch=finalized.epoch,
        finalized_features=[
            FinalizedFeatureKey(name=name, max_version_level=level, min_version_level=level)
            for name, level in finalized.levels.items()
        ],
    )


def unsupported_version() -> ApiVersionsResponse:
    """What a client hears whose version of this very API is unknown (KIP-511)."""
    own = next(spec for spec in SPECS if spec.key is ApiKey.API_VERSIONS)
    return ApiVersionsResponse(
        error_code=ErrorCode.UNSUPPORTED_VERSION,
        api_keys=[
            ApiVersion(api_key=own.key, min_version=own.min_version, max_version=own.max_version)
        ],
    )
