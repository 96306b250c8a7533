"""IncrementalAlterConfigs (key 44), versions 0 to 1.

v1 flexible. SET, DELETE, APPEND and SUBTRACT of topic keys (KIP-339). Absent: broker keys, of
which none can be changed while the broker runs, and the other kinds of resource.
"""

from tierbroker.base.errors import ApiError, InvalidRequestError
from tierbroker.broker.api import RequestContext
from tierbroker.controller.state.configs import (
    ConfigChange,
    ConfigOutcome,
    ResourceChanges,
    alter_incrementally,
)
from tierbroker.controller.state.image import ConfigResource, ResourceType
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
    errors: dict[ConfigResource, ApiError | None] = {
        entry.resource: InvalidRequestError(f"this is broker {broker.broker_id}, not another")
        for entry in asked
        if _is_of_another_broker(entry.resource, broker.broker_id)
    }
    own = [entry for entry in asked if entry.resource not in errors]
    try:
        outcomes = await broker.controller.submit(
            lambda image: alter_incrementally(
                image, own, broker.environment, validate_only=request.validate_only
            )
        )
    except ApiError as error:
        outcomes = [ConfigOutcome(entry.resource, error) for entry in own]
    errors |= {outcome.resource: outcome.error for outcome in outcomes}
    return IncrementalAlterConfigsResponse(
        responses=[
            AlterConfigsResourceResponse(*code_and_message(errors[entry.resource]), *entry.resource)
            for entry in asked
        ]
    )


def _is_of_another_broker(resource: ConfigResource, broker_id: int) -> bool:
    """A broker's own settings are changed at that broker (Kafka: ConfigAdminManager)."""
    kind, name = resource
    return kind == ResourceType.BROKER and name.isdecimal() and int(name) != broker_id
