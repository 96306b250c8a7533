"""Whatever the store does, nothing is lost and nothing is shown that is wrong.

A broker process, MinIO, and a proxy between them that breaks requests while clients write, read
cold records and delete. Each kind of fault is injected TORTURE_ROUNDS times; TORTURE_SEED repeats
which requests it meets.
"""

import os
import random
import time
from collections.abc import Callable, Iterator

import pytest

from integration.conftest import CHOICE
from integration.store_proxy import Fault, Request
from integration.tiered_world import TieredTopic, TieredWorld, world_in

pytestmark = [
    pytest.mark.torture,
    pytest.mark.skipif(CHOICE != "", reason="these tests break the broker's store"),
]

ROUNDS = int(os.environ.get("TORTURE_ROUNDS", "20"))
SEED = int(os.environ.get("TORTURE_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
PATIENCE_S = 60.0
"""For one injection more."""

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


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TieredWorld]:
    with world_in(tmp_path_factory.mktemp("tiered")) as world:
        yield world


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_lost(world: TieredWorld, kind: str) -> None:
    print(f"TORTURE_SEED={SEED}")
    rng = random.Random(f"{SEED} {kind}")
    topic = TieredTopic(world, f"faults-{kind}", rng)
    topic.write(40)
    topic.settle()
    begun = time.monotonic()
    rate, choose = KINDS[kind]

    def plan(request: Request) -> Fault | None:
        return choose(request, rng) if rng.random() < rate else None

    injected = world.proxy.injected
    world.proxy.plan = plan
    try:
        deadline = time.monotonic() + PATIENCE_S
        seen = injected
        while world.proxy.injected < injected + ROUNDS:
            topic.write()
            topic.check_some()
            topic.delete_records()
            if world.proxy.injected > seen:
                seen = world.proxy.injected
                deadline = time.monotonic() + PATIENCE_S
            assert time.monotonic() < deadline, f"no more {kind} after {seen - injected}"
    finally:
        world.proxy.plan = None
    calm = time.monotonic()
    topic.settle()
    statuses = world.proxy.replay()
    topic.check_all()
    topic.close()
    print(
        f"{kind}: {world.proxy.injected - injected} injected in {calm - begun:.1f} s, well again "
        f"after {time.monotonic() - calm:.1f} s, arrived late: {statuses}"
    )
