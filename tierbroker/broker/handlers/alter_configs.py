"""AlterConfigs (key 33), versions 0 to 2.

v2 flexible. The settings given become all that a topic has of its own: what is not named goes
back to its default, which is why clients prefer IncrementalAlterConfigs. Absent: broker keys, of
which none can be changed while the broker runs, and the other kinds of resource.
"""

from tierbroker.broker.api import RequestContext
from tierbroker.broker.config_changes import change_configs
from tierbroker.controller.state.configs import ResourceConfigs, alter
from tierbroker.wire.error_codes import code_and_message
from tierbroker.wire.messages.alter_configs import (
    AlterConfigsRequest,
    AlterConfigsResourceResponse,
    AlterConfigsResponse,
)


async def handle(request: AlterConfigsRequest, context: RequestContext) -> AlterConfigsResponse:
    """Set each resource's configuration, or say why not."""
    broker = context.broker
    asked = [
        ResourceConfigs(
            (resource.resource_type, resource.resource_name),
            tuple((config.name, config.value) for config in resource.configs),
        )
        for resource in request.resources
    ]
    outcomes = await change_configs(
        broker,
        asked,
        lambda image, own: alter(
            image, own, broker.environment, validate_only=request.validate_only
        ),
    )
    return AlterConfigsResponse(
        responses=[
            AlterConfigsResourceResponse(*code_and_message(outcome.error), *outcome.resource)
            for outcome in outcomes
        ]
    )
