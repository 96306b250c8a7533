"""Heartbeat (key 12), versions 0 to 4.

v1 throttle time. v3 static members (KIP-345). v4 flexible.
"""

from tierbroker.broker.api import RequestContext
from tierbroker.wire.messages.heartbeat import HeartbeatRequest, HeartbeatResponse


def handle(request: HeartbeatRequest, context: RequestContext) -> HeartbeatResponse:
    """A member is alive; it learns whether it has to join again."""
    return context.broker.groups.heartbeat(request)
