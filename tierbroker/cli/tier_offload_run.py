"""What `tierbroker tier offload` does: asks the brokers, and shows how far they are."""

import click

from tierbroker.base.clock import SystemClock
from tierbroker.cli.bootstrap import Bootstrap
from tierbroker.cli.broker_http import BrokerHttp, find_brokers
from tierbroker.cli.output import print_json
from tierbroker.cli.progress import ProgressBar

LOOK_EVERY_S = 0.25
PATIENCE_S = 5.0
"""Without progress for so long, it is said why."""


def run_offload(
    bootstrap: Bootstrap, topic: str, *, evict: bool, wait: bool, as_json: bool, progress: bool
) -> None:
    """Raises CommandFailedError, UnreachableError."""
    for broker in find_brokers(bootstrap):
        if wait:
            told = _wait(broker, topic, evict=evict, progress=progress)
        else:
            told = broker.offload(topic, evict=evict, wait=False).finish()
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


def _wait(broker: BrokerHttp, topic: str, *, evict: bool, progress: bool) -> dict[str, object]:
    before = _left_bytes(broker, topic)
    look = _Look(broker, topic)
    with (
        ProgressBar(f"{topic} to the store", before, enabled=progress, noun="bytes") as bar,
        broker.offload(topic, evict=evict, wait=True) as call,
    ):
        while not call.is_answered(LOOK_EVERY_S):
            left = look.at_it()
            bar.update(before - left, before - left)
        return call.finish()


def _left_bytes(broker: BrokerHttp, topic: str) -> int:
    """What is to be moved, the open segments included. Raises CommandFailedError: no such topic."""
    told = broker.tier(topic)["topics"][0]
    return int(told["lag_bytes"] + told["active_bytes"])


class _Look:
    """Looks how much is left, and says once why nothing moves."""

    def __init__(self, broker: BrokerHttp, topic: str) -> None:
        self._broker = broker
        self._topic = topic
        self._clock = SystemClock()
        self._left = -1
        self._moved_at = self._clock.monotonic()
        self._said: str | None = None

    def at_it(self) -> int:
        """Bytes of closed segments that are not in the store yet."""
        told = self._broker.tier(self._topic)["topics"][0]
        left, now = int(told["lag_bytes"]), self._clock.monotonic()
        if left != self._left:
            self._left, self._moved_at = left, now
        waiting = told["waiting"]
        if now - self._moved_at >= PATIENCE_S and waiting is not None:
            self._say(f"waiting at offset {waiting['base_offset']}: {waiting['reason']}")
        return left

    def _say(self, text: str) -> None:
        if text != self._said:
            self._said = text
            click.echo(text, err=True)
