"""Changing settings: what AlterConfigs and IncrementalAlterConfigs have in common.

Which settings there are, and what they may be, is the decider's business.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from tierbroker.base.errors import ApiError, InvalidRequestError
from tierbroker.broker.services import BrokerServices
from tierbroker.controller.state.configs import ConfigOutcome
from tierbroker.controller.state.image import ConfigResource, MetadataImage, ResourceType
from tierbroker.controller.state.result import Result


class _ResourceRequest(Protocol):
    @property
    def resource(self) -> ConfigResource: ...


R = TypeVar("R", bound=_ResourceRequest)


async def change_configs(
    broker: BrokerServices,
    asked: Sequence[R],
    decide: Callable[[MetadataImage, Sequence[R]], Result[list[ConfigOutcome]]],
) -> list[ConfigOutcome]:
    """Submit what `decide` makes of the requests; one outcome for each of them, in their order."""
    errors: dict[ConfigResource, ApiError | None] = {
        entry.resource: InvalidRequestError(f"this is broker {broker.broker_id}, not another")
        for entry in asked
        if _is_of_another_broker(entry.resource, broker.broker_id)
    }
    own = [entry for entry in asked if entry.resource not in errors]
    try:
        outcomes = await broker.controller.submit(lambda image: decide(image, own))
    except ApiError as error:
        outcomes = [ConfigOutcome(entry.resource, error) for entry in own]
    errors |= {outcome.resource: outcome.error for outcome in outcomes}
    return [ConfigOutcome(entry.resource, errors[entry.resource]) for entry in asked]


def _is_of_another_broker(resource: ConfigResource, broker_id: int) -> bool:
    """A broker's own settings are changed at that broker (Kafka: ConfigAdminManager)."""
    kind, name = resource
    return kind == ResourceType.BROKER and name.isdecimal() and int(name) != broker_id
