"""Sessions of members, and the two deadlines of a rebalance.

A heartbeat only notes the moment until which its member counts as alive; the timer stays where it
is, and when it fires it is set anew for what is left. So a heartbeat costs no timer, and a member
one timer per session timeout. Timers of sessions fire on a grid of 100 ms: thousands of members
share a few deadlines, and a session may last that much longer than it was promised, never shorter.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from tierbroker.base.clock import Clock
from tierbroker.groups.ports import Timers

if TYPE_CHECKING:
    from tierbroker.groups.group import Group

_CHECKS_PER_S = 10
_UNARMED = math.inf
_DUST_S = 1e-6
"""What sums of fractions of a second may be off by."""


class Sessions:
    """What all sessions of a shard have in common."""

    __slots__ = ("clock", "on_expired", "timers")

    def __init__(
        self, timers: Timers, clock: Clock, on_expired: "Callable[[Group, str], object]"
    ) -> None:
        self.timers = timers
        self.clock = clock
        self.on_expired = on_expired


class Session:
    """The life of one member, or of a member id that was handed out and not used yet."""

    __slots__ = ("_deadline_s", "_due_s", "_sessions", "_tick", "group", "member_id")

    def __init__(self, sessions: Sessions, group: "Group", member_id: str) -> None:
        self._sessions = sessions
        self.group = group
        self.member_id = member_id
        self._deadline_s = 0.0
        self._due_s = _UNARMED
        self._tick = 0

    def touch(self, timeout_ms: int) -> None:
        """A sign of life: the session lasts for `timeout_ms` from now."""
        self._deadline_s = deadline_s = self._sessions.clock.monotonic() + timeout_ms / 1000
        if deadline_s < self._due_s:
            self._arm()

    def cancel(self) -> None:
        """The member is gone: its session never expires."""
        if self._due_s != _UNARMED:
            self._due_s = _UNARMED
            self._sessions.timers.remove(self, self._tick)

    def expire(self) -> None:
        """The timer fired; what remains of the session decides."""
        if self._due_s == _UNARMED:
            return  # cancelled by a neighbour that fired in the same tick
        self._due_s = _UNARMED
        if self._deadline_s > self._sessions.clock.monotonic() + _DUST_S:
            self._arm()
        else:
            self._sessions.on_expired(self.group, self.member_id)

    def _arm(self) -> None:
        if self._due_s != _UNARMED:
            self._sessions.timers.remove(self, self._tick)
        due_s = math.ceil(self._deadline_s * _CHECKS_PER_S) / _CHECKS_PER_S
        self._due_s = due_s
        delay_s = max(0.0, due_s - self._sessions.clock.monotonic())
        self._tick = self._sessions.timers.add(self, delay_s)


class Alarm:
    """One deadline of a group that can be set, moved and taken back."""

    __slots__ = ("_action", "_tick", "_timers")

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._action: Callable[[], object] | None = None
        self._tick = 0

    def set(self, delay_ms: int, action: Callable[[], object]) -> None:
        """Call `action` in `delay_ms`, instead of what was set before."""
        self.cancel()
        self._action = action
        self._tick = self._timers.add(self, delay_ms / 1000)

    def cancel(self) -> None:
        """Nothing will be called."""
        if self._action is not None:
            self._action = None
            self._timers.remove(self, self._tick)

    def expire(self) -> None:
        """The deadline has passed, unless it was taken back in the same tick."""
        action, self._action = self._action, None
        if action is not None:
            action()
