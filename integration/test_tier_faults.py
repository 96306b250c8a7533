"""Whatever the store does, nothing is lost and nothing is shown that is wrong.

A broker process, MinIO, and a proxy between them that breaks requests while clients write, read
cold records and delete. Each kind of fault is injected TIER_FAULT_ROUNDS times; TORTURE_SEED says
which requests it meets.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.conftest import CHOICE
from integration.in_parallel import begin_selected
from integration.store_proxy import Fault, Request
from integration.tiered_world import PATIENCE_S, ROUNDS, SEED, TieredTopic, world_in

if TYPE_CHECKING:
    from concurrent.futures import Future

pytestmark = [
    pytest.mark.torture,
    pytest.mark.skipif(CHOICE != "", reason="these tests break the broker's store"),
]

Choose = Callable[[Request, random.Random], Fault | None]
"""What this request would be broken by; None when it is none for this fault."""


def writes(request: Request) -> bool:
    return request.method == "PUT"


def reads_segment(request: Request) -> bool:
    return request.method == "GET" and request.suffix == "seg"


KINDS: dict[str, tuple[float, Choose]] = {
    "latency": (0.5, lambda request, rng: Fault(delay_s=rng.uniform(0.05, 0.6))),
    "500": (0.4, lambda request, rng: Fault(answer=(500, "InternalError"))),
    "503-slow-down": (0.4, lambda request, rng: Fault(answer=(503, "SlowDown"))),
    "done-unheard": (0.4, lambda request, rng: Fault(silent=True) if writes(request) else None),
    "done-too-late": (0.2, lambda request, rng: Fault(hang_s=2.0) if writes(request) else None),
    "torn-upload": (0.4, lambda request, rng: Fault(torn=True) if writes(request) else None),
    "late-put": (
        0.3,
        # A head that arrives late has a condition that does not hold any more.
        lambda request, rng: Fault(late=True) if writes(request) else None,
    ),
    "late-delete": (
        0.8,
        lambda request, rng: Fault(late=True) if request.method == "DELETE" else None,
    ),
    "wrong-bytes": (
        0.5,
        lambda request, rng: Fault(flip=rng.randrange(1 << 20)) if reads_segment(request) else None,
    ),
    "cut-answer": (0.5, lambda request, rng: Fault(cut=True) if reads_segment(request) else None),
    "stale-head": (
        0.5,
        lambda request, rng: (
            Fault(stale=True) if request.suffix == "head" and request.method != "PUT" else None
        ),
    ),
    "missing": (
        0.4,
        lambda request, rng: (
            Fault(answer=(404, "NoSuchKey"))
            if request.method in ("GET", "HEAD") and request.suffix in ("seg", "ckpt")
            else None
        ),
    ),
    "condition-ignored": (
        1.0,
        lambda request, rng: Fault(unconditional=True) if request.conditional else None,
    ),
}


def broken_requests(kind: str, directory: Path) -> str:
    """Clients work while requests are broken; when all is well again, what is late arrives."""
    rng = random.Random(f"{SEED} {kind}")
    rate, choose = KINDS[kind]
    with world_in(directory) as world:
        topic = TieredTopic(world, kind, rng)
        topic.write(40)
        topic.settle()
        begun = time.monotonic()
        world.proxy.plan = lambda request: choose(request, rng) if rng.random() < rate else None
        work_until(topic, lambda: world.proxy.injected, ROUNDS)
        world.proxy.plan = None
        calm = time.monotonic()
        topic.settle()
        well = time.monotonic()
        statuses = world.proxy.replay()
        topic.check_all()
        orphans = topic.conclude()
        return (
            f"{kind}: {world.proxy.injected} broken in {calm - begun:.1f} s, well again after "
            f"{well - calm:.1f} s, {len(statuses)} arrived late, {orphans} orphans"
        )


def killed_store(directory: Path) -> str:
    """MinIO is killed and comes back, again and again."""
    rng = random.Random(f"{SEED} killed store")
    with world_in(directory) as world:
        topic = TieredTopic(world, "killed-store", rng)
        topic.write(40)
        topic.settle()
        for _ in range(ROUNDS):
            topic.write(rng.randrange(5, 30))
            time.sleep(rng.uniform(0, 0.5))
            world.minio.kill()
            topic.write(rng.randrange(5, 30))
            time.sleep(rng.uniform(0, 0.3))
            world.minio.start()
            topic.check_some()
        begun = time.monotonic()
        topic.settle()
        well = time.monotonic()
        orphans = topic.conclude()
        return f"{ROUNDS} times killed, well again after {well - begun:.1f} s, {orphans} orphans"


def work_until(topic: TieredTopic, count: Callable[[], int], enough: int) -> None:
    """Write, read and delete until there are enough of what `count` counts."""
    seen, deadline = 0, time.monotonic() + PATIENCE_S
    while count() < enough:
        topic.write()
        topic.check_some()
        topic.delete_records()
        if count() > seen:
            seen, deadline = count(), time.monotonic() + PATIENCE_S
        assert time.monotonic() < deadline, f"no more after {seen}"


SCENARIOS: dict[str, Callable[[Path], str]] = {
    **{kind: partial(broken_requests, kind) for kind in KINDS},
    "killed-store": killed_store,
}


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, "Future[str]"]]:
    yield from begin_selected(request, "fault", SCENARIOS, tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize("fault", SCENARIOS)
def test_nothing_is_lost(outcomes: Mapping[str, "Future[str]"], fault: str) -> None:
    print(f"TORTURE_SEED={SEED}")
    print(outcomes[fault].result())
