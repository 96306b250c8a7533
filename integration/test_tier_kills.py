"""A broker that is killed, or loses its disk, at each step between an upload and its local delete.

The proxy before MinIO sees the steps: the moment is a request, before or after the store did it.
What was acknowledged is there after a kill; after the loss of a disk all is there that had left it
or was named by a checkpoint. A host that was lost and comes back changes nothing.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer

from integration.broker_processes import Tierbroker
from integration.conftest import CHOICE
from integration.in_parallel import begin_selected
from integration.store_proxy import Fault, Request, Response
from integration.tiered_world import (
    DELETED,
    PARTITIONS,
    PATIENCE_S,
    PLAIN,
    ROUNDS,
    SEED,
    URL,
    TieredTopic,
    TieredWorld,
    store_settings,
    world_in,
)
from tests.broker.cli_calls import TIERBROKER, cli_with, ok

if TYPE_CHECKING:
    from concurrent.futures import Future

pytestmark = [
    pytest.mark.torture,
    pytest.mark.skipif(CHOICE != "", reason="these tests kill the broker of a bucket"),
]

MOMENTS = (
    ("PUT", "seg"),
    ("HEAD", "seg"),
    ("PUT", "ckpt"),
    ("PUT", "head"),
    ("GET", "head"),
    ("DELETE", "seg"),
    ("DELETE", "ckpt"),
)
"""Between the intent and the commit, before and after the checkpoint, before local deletes."""


class Killer:
    """Kills the broker when a certain request comes by."""

    def __init__(self, world: TieredWorld, rng: random.Random) -> None:
        self.method, self.suffix = rng.choice(MOMENTS)
        self.when = rng.choice(("before", "after", "instead"))
        self.killed = False
        """Set once the signal is sent: the next broker is not to get it."""
        self._pid = world.broker.pid
        self._due = False
        self._left = rng.randrange(3)
        self._delay_s = rng.choice((0.0, 0.0, 0.005, 0.03))

    def __str__(self) -> str:
        return f"{self.when} {self.method} {self.suffix}"

    def plan(self, request: Request) -> Fault | None:
        if self.when == "after" or not self._is_due(request):
            return None
        self._kill()
        return Fault(late=True) if self.when == "instead" else None

    def watch(self, request: Request, _: Response) -> None:
        if self.when == "after" and self._is_due(request):
            self._kill()

    def _is_due(self, request: Request) -> bool:
        if self._due or (request.method, request.suffix) != (self.method, self.suffix):
            return False
        self._left -= 1
        self._due = self._left < 0
        return self._due

    def _kill(self) -> None:
        time.sleep(self._delay_s)
        os.kill(self._pid, signal.SIGKILL)
        self.killed = True


def kill_at_some_moment(world: TieredWorld, topic: TieredTopic, rng: random.Random) -> Killer:
    """Write, delete until the moment has come; the broker is dead then."""
    topic.write(rng.randrange(10, 40))
    killer = Killer(world, rng)
    world.proxy.plan, world.proxy.watch = killer.plan, killer.watch
    deadline = time.monotonic() + PATIENCE_S
    while not killer.killed:
        topic.try_to_write()
        if rng.random() < 0.3:
            topic.try_to_delete()
        assert time.monotonic() < deadline, f"no {killer}"
    world.broker.kill()
    world.proxy.plan = world.proxy.watch = None
    return killer


def restore(world: TieredWorld, broker: Tierbroker, topic: TieredTopic) -> None:
    """Bring the cluster back into the broker's directory; the topic forgets what was lost."""
    said = ok(cli_with(os.environ)(*restore_arguments(world, broker)))
    rows = [json.loads(line) for line in said.splitlines()]
    found = {row["partition"]: row for row in rows if row.get("topic") == topic.name}
    for partition in range(PARTITIONS):
        last = found[partition]["last_offset"]
        topic.forget_from(partition, 0 if last is None else last + 1)
        start = found[partition]["start_offset"]
        assert start == 0 or partition == DELETED, found
        topic.restored_end[partition] = max(start, topic.restored_end[partition])


def restore_arguments(world: TieredWorld, broker: Tierbroker) -> list[str]:
    sets = store_settings(world.proxy.endpoint).items()
    command = ["restore", "--json", "--from", URL, "--data", str(broker.data_dir)]
    return command + [word for key, value in sets for word in ("--set", f"{key}={value}")]


def kill_a_restore(world: TieredWorld, rng: random.Random) -> None:
    """One that is begun and killed at one of its requests; what it made is removed again."""
    left = rng.randrange(8)
    restoring = subprocess.Popen(
        [*TIERBROKER, *restore_arguments(world, world.broker)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def plan(_: Request) -> Fault | None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(restoring.pid, signal.SIGKILL)
        return None

    world.proxy.plan = plan
    restoring.wait(PATIENCE_S)
    world.proxy.plan = None
    shutil.rmtree(world.broker.data_dir, ignore_errors=True)


def killed_broker(half: str, directory: Path) -> str:
    """Nothing that was acknowledged is lost, and no offset gets a second value."""
    rng = random.Random(f"{SEED} killed broker {half}")
    moments = []
    with world_in(directory) as world:
        topic = TieredTopic(world, "killed-broker", rng)
        topic.write(40)
        topic.settle()
        for number in range(ROUNDS // 2):
            moments.append(str(kill_at_some_moment(world, topic, rng)))
            world.broker.start()
            world.proxy.replay()
            topic.check_some()
            if number % 5 == 4:
                topic.check_all()
        orphans = topic.conclude()
    return f"killed {', '.join(moments)}; {orphans} orphans"


def lost_disk(half: str, directory: Path) -> str:
    """What had left the disk is there after a restore: a checkpoint named it."""
    rng = random.Random(f"{SEED} lost disk {half}")
    moments = []
    with world_in(directory) as world:
        topic = TieredTopic(world, "lost-disk", rng)
        topic.write(40)
        topic.settle()
        for _ in range(ROUNDS // 2):
            moments.append(str(kill_at_some_moment(world, topic, rng)))
            evicted = [topic.evicted(partition) for partition in range(PARTITIONS)]
            shutil.rmtree(world.broker.data_dir)
            if rng.random() < 0.5:
                kill_a_restore(world, rng)
            restore(world, world.broker, topic)
            for partition, end in enumerate(evicted):
                assert topic.restored_end[partition] >= end, f"{partition}: {moments[-1]}"
            world.proxy.replay()
            world.broker.start()
            topic.reconnect()
            topic.check_all()
        orphans = topic.conclude()
    return f"lost {', '.join(moments)}; {orphans} orphans"


def old_host(directory: Path) -> str:
    """It is frozen or stopped, another one is restored, and then it goes on."""
    rng = random.Random(f"{SEED} old host")
    said = []
    with world_in(directory) as world:
        topic = TieredTopic(world, "old-host", rng)
        for number in range(max(2, ROUNDS // 5)):
            topic.write(40)
            topic.settle()
            topic.write(20)
            old, frozen = world.broker, number % 2 == 0
            if frozen:
                os.kill(old.pid, signal.SIGSTOP)
            else:
                old.kill()
            world.broker = world.new_broker(f"restored-{number}")
            restore(world, world.broker, topic)
            world.broker.start()
            topic.reconnect()
            topic.write(20)
            said.append("frozen" if frozen else "stopped")
            try:
                os.kill(old.pid, signal.SIGCONT) if frozen else old.start()
                write_elsewhere(old, topic.name)
            except AssertionError:
                assert "was restored from" in old.log_text()
                said.append("does not start")
            topic.write(20)
            topic.settle()
            if old.running:
                old.kill()
            topic.check_all()
        said.append(f"{topic.conclude()} orphans")
    return ", ".join(said)


def write_elsewhere(broker: Tierbroker, topic: str) -> None:
    """To a host that was replaced: it may take it, and it must not count."""
    producer = Producer(
        {"bootstrap.servers": broker.bootstrap, "log_level": 0, "delivery.timeout.ms": 3000}
    )
    for _ in range(4):
        for _ in range(30):
            producer.produce(topic, b"never to be seen" * 64, partition=PLAIN)
        producer.flush(5)
        time.sleep(0.5)


def store_is_down(directory: Path) -> str:
    """Hot records are written and read, local ones are kept, and all goes on by itself."""
    rng = random.Random(f"{SEED} store is down")
    with world_in(directory) as world:
        topic = TieredTopic(world, "store-is-down", rng)
        topic.write(200)
        ends = topic.settle()
        before = topic.timed_write(100)
        world.minio.kill()
        deadline = time.monotonic() + 8
        slowest = 0.0
        hot = [dict(records) for records in topic.records]
        while time.monotonic() < deadline:
            slowest = max(slowest, topic.timed_write(100))
            topic.check_newest(20)
        assert topic.nothing_from(PLAIN, min(hot[PLAIN]), 3.0), "cold records of a dead store"
        kept = [topic.local_start(partition) for partition in range(PARTITIONS)]
        written = topic.ends()
        # A segment that was uploaded and named just before may have left; no other one.
        assert all(start <= end + 120 for start, end in zip(kept, ends, strict=True)), (kept, ends)
        # One that waited for the store would wait as long as that is down.
        assert slowest < 20, f"{slowest:.2f} s for what took {before:.2f} s before"
        world.minio.start()
        begun = time.monotonic()
        topic.check_all()
        topic.conclude()
        return (
            f"100 records took {before:.3f} s before and {slowest:.3f} s at most while the store "
            f"was down, up to {written}; well {time.monotonic() - begun:.1f} s after"
        )


SCENARIOS: dict[str, Callable[[Path], str]] = {
    "killed-broker-1": partial(killed_broker, "1"),
    "lost-disk-1": partial(lost_disk, "1"),
    "killed-broker-2": partial(killed_broker, "2"),
    "lost-disk-2": partial(lost_disk, "2"),
    "old-host": old_host,
    "store-is-down": store_is_down,
}


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, "Future[str]"]]:
    yield from begin_selected(request, "scenario", SCENARIOS, tmp_path_factory.mktemp("kills"))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_what_is_promised_is_kept(outcomes: Mapping[str, "Future[str]"], scenario: str) -> None:
    print(f"TORTURE_SEED={SEED}")
    print(outcomes[scenario].result())
