"""What `tierbroker tier offload` does: asks the brokers, and shows how far they are."""

import math
from collections.abc import Mapping
from typing import Any

import click

from tierbroker.base.clock import Clock, SystemClock
from tierbroker.cli.bootstrap import Bootstrap
from tierbroker.cli.broker_http import BrokerHttp, find_brokers
from tierbroker.cli.counting import counted
from tierbroker.cli.exits import CommandFailedError
from tierbroker.cli.output import print_json
from tierbroker.cli.progress import ProgressBar
from tierbroker.cli.sizes import size_text, span_text
from tierbroker.cli.tier_status_run import store_state

LOOK_EVERY_S = 0.25
PATIENCE_S = 5.0
"""Without progress for so long, it is said why."""
SHOWN_PARTITIONS = 10
"""Of those that are behind, when the time is over."""


def run_offload(
    bootstrap: Bootstrap,
    topic: str,
    *,
    evict: bool,
    wait: bool,
    timeout_ms: int | None,
    as_json: bool,
    progress: bool,
) -> None:
    """Raises CommandFailedError, also when the time is over, and UnreachableError."""
    time_left = TimeLeft(timeout_ms)
    for broker in find_brokers(bootstrap):
        if wait:
            told = _wait(broker, topic, time_left, evict=evict, progress=progress)
        else:
            told = broker.offload(topic, evict=evict, wait=False).finish()
        if told is None:
            status = broker.tier(topic)
            if as_json:
                print_json(_unfinished(topic, status))
            raise CommandFailedError(not_there(topic, status, timeout_ms or 0))
        if as_json:
            print_json(told)
        elif told["done"]:
            gone = ", and off the broker's disk" if evict else ""
            click.echo(f"{topic} is in the store{gone}.", err=True)
        else:
            click.echo(
                f"{topic} is on its way to the store. See how far it is with: "
                f"tierbroker tier status {topic}",
                err=True,
            )


def _wait(
    broker: BrokerHttp, topic: str, time_left: "TimeLeft", *, evict: bool, progress: bool
) -> dict[str, object] | None:
    """The broker's answer; None when the time is over, and then it is given up."""
    before = _left_bytes(broker, topic)
    look = Look(broker, topic, SystemClock())
    with (
        ProgressBar(f"{topic} to the store", before, enabled=progress, noun="bytes") as bar,
        broker.offload(topic, evict=evict, wait=True) as call,
    ):
        while not call.is_answered(min(LOOK_EVERY_S, time_left.seconds)):
            if not time_left.seconds:
                return None
            left = look.at_it()
            bar.update(before - left, before - left)
        return call.finish()


def _left_bytes(broker: BrokerHttp, topic: str) -> int:
    """What is to be moved, the open segments included. Raises CommandFailedError: no such topic."""
    told = broker.tier(topic)["topics"][0]
    return int(told["lag_bytes"] + told["active_bytes"])


def _unfinished(topic: str, status: Mapping[str, Any]) -> dict[str, object]:
    names = ("partition", "lag_bytes", "lag_segments", "waiting")
    return {
        "topic": topic,
        "done": False,
        "partitions": [{name: partition[name] for name in names} for partition in _behind(status)],
    }


def _behind(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [each for each in status["partitions"] if each["lag_segments"] or each["waiting"]]


def not_there(topic: str, status: Mapping[str, Any], timeout_ms: int) -> str:
    """What is not in the store when the time is over, and why, by the status of the topic."""
    behind = _behind(status)
    lines = [f"Not all of {topic} is in the store after {span_text(timeout_ms)}."]
    for each in behind[:SHOWN_PARTITIONS]:
        waiting = each["waiting"] or {}
        offset, reason = waiting.get("base_offset"), waiting.get("reason")
        lines.append(
            f"  partition {each['partition']}"
            + (f", from offset {offset} on" if offset is not None else "")
            + f": {size_text(each['lag_bytes'])} in {counted(each['lag_segments'], 'segment')}; "
            + (reason or "on its way")
        )
    if len(behind) > SHOWN_PARTITIONS:
        lines.append(f"  and {counted(len(behind) - SHOWN_PARTITIONS, 'more partition')}")
    if not behind:
        failure = (status["checkpoint"] or {}).get("failure")
        why = f" fails: {failure}" if failure else " is not written yet"
        lines.append(f"  All of it is uploaded, but the checkpoint that names it{why}.")
    if status["store"]["state"] != "up":
        state = store_state(status["store"])
        lines.append(f"  The store is {state}{'' if state.endswith(('.', '?')) else '.'}")
    lines.append(
        "What was uploaded stays there, and the rest goes on as the topic's settings say. To see "
        f"how far it is: tierbroker tier status {topic}"
    )
    return "\n".join(lines)


class TimeLeft:
    """Until the command gives up."""

    def __init__(self, timeout_ms: int | None) -> None:
        self._clock = SystemClock()
        left_s = math.inf if timeout_ms is None else timeout_ms / 1000
        self._end = self._clock.monotonic() + left_s

    @property
    def seconds(self) -> float:
        """Infinity where there is no limit; 0 when it is over."""
        return max(0.0, self._end - self._clock.monotonic())


class Look:
    """Looks how much is left, and says once why nothing moves."""

    def __init__(self, broker: BrokerHttp, topic: str, clock: Clock) -> None:
        self._broker = broker
        self._topic = topic
        self._clock = clock
        self._left = -1
        self._moved_at = self._clock.monotonic()
        self._said: set[str] = set()

    def at_it(self) -> int:
        """Bytes of closed segments that are not in the store yet."""
        told = self._broker.tier(self._topic)["topics"][0]
        left, now = int(told["lag_bytes"]), self._clock.monotonic()
        if left != self._left:
            self._left, self._moved_at = left, now
        waiting = told["waiting"]
        if now - self._moved_at >= PATIENCE_S and waiting is not None:
            self._say(waiting["reason"], waiting["partition"], waiting["base_offset"])
        return left

    def _say(self, reason: str, partition: int, offset: int | None) -> None:
        if reason not in self._said:  # partitions that wait for the same take turns
            self._said.add(reason)
            place = "" if offset is None else f" at offset {offset}"
            click.echo(f"partition {partition} waits{place}: {reason}", err=True)
