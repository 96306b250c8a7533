"""IncrementalAlterConfigs (key 44), versions 0 to 1.

v1 flexible. SET, DELETE, APPEND and SUBTRACT of topic keys (KIP-339). Absent: broker keys, of
which none can be changed while the broker runs, and the other kinds of resource.
"""

from tierbroker.broker.api import RequestContext
from tierbroker.broker.config_changes import change_configs
from tierbroker.controller.state.configs import (
    ConfigChange,
    ResourceChanges,
    alter_incrementally,
)
from tierbroker.wire.error_codes import code_and_message
from tierbroker.wire.messages.incremental_alter_configs import (
    AlterConfigsResourceResponse,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)


async def handle(
    request: IncrementalAlterConfigsRequest, context: RequestContext
) -> IncrementalAlterConfigsResponse:
    """Change each resource, or say why not."""
    broker = context.broker
    asked = [
        ResourceChanges(
            (resource.resource_type, resource.resource_name),
            tuple(
                ConfigChange(config.name, config.config_operation, config.value)
                for config in resource.configs
            ),
        )
        for resource in request.resources
    ]
    outcomes = await change_configs(
        broker,
        asked,
        lambda image, own: alter_incrementally(
            image, own, broker.environment, validate_only=request.validate_only
        ),
    )
    return IncrementalAlterConfigsResponse(
        responses=[
            AlterConfigsResourceResponse(*code_and_message(outcome.error), *outcome.resource)
            for outcome in outcomes
        ]
    )
