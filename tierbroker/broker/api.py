"""What a handler is and what it gets.

A handler module has one function, `handle(request, context)`. It returns the response, or a
`Pending` response, or is a coroutine function: whichever is the least it needs. It never touches
a socket and never encodes anything.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tierbroker.wire.api_keys import ApiKey

if TYPE_CHECKING:
    from tierbroker.broker.services import BrokerServices
    from tierbroker.broker.session import Session
    from tierbroker.wire.peer import Peer


@dataclass(frozen=True, slots=True)
class ApiSpec:
    """One row of the registry: an API and the versions that are advertised."""

    key: ApiKey
    min_version: int
    max_version: int

    @property
    def module(self) -> str:
        """Name of the module in `broker.handlers` and in `wire.messages`."""
        return self.key.name.lower()


class RequestContext:
    """Everything about one request that is not in its body."""

    __slots__ = ("api_version", "broker", "client_id", "peer", "session")

    def __init__(
        self,
        broker: "BrokerServices",
        peer: "Peer",
        session: "Session",
        api_version: int,
        client_id: str | None,
    ) -> None:
        self.broker = broker
        self.peer = peer
        self.session = session
        self.api_version = api_version
        self.client_id = client_id
