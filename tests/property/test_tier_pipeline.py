"""The whole cold tier of one log, whatever fails and whenever; and without one of its rules.

A defect changes one rule of the production code for the time of a test. Some are found by the
pipeline, others by the test of that very rule: a guard that lets its defect pass guards nothing.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tier_pipeline import live_through
from tests.unit.cold import test_pieces
from tests.unit.controller.state import test_tier
from tests.unit.node import test_restoring
from tests.unit.replication import test_tiering
from tierbroker.base.errors import FencedLeaderEpochError
from tierbroker.base.ids import TopicPartition, Uuid
from tierbroker.cold import pieces, reader
from tierbroker.controller.state import tier as deciders
from tierbroker.node import restoring
from tierbroker.records.tier.state import TierState

SEEDS = 40
Patch = pytest.MonkeyPatch


@pytest.mark.parametrize("seed", range(25))
def test_nothing_is_lost_and_nothing_changes(seed: int) -> None:
    live_through(seed)


# -- what the pipeline finds ---------------------------------------------------------------------


def free_before_commit(patch: Patch) -> None:
    patch.setattr(TierState, "named_end_offset", lambda *_: 1 << 40)


def free_before_checkpoint(patch: Patch) -> None:
    def committed_end(self: TierState, topic_id: Uuid, partition: int) -> int:
        tier = self.partition(topic_id, partition)
        return -1 if tier is None else tier.end_offset

    patch.setattr(TierState, "named_end_offset", committed_end)


def key_used_again(patch: Patch) -> None:
    real = deciders._intent
    patch.setattr(
        deciders,
        "_intent",
        lambda image, delta, plan, offset: real(image, delta, plan, plan.base_offset),
    )


@pytest.mark.parametrize(
    "plant",
    [free_before_commit, free_before_checkpoint, key_used_again],
    ids=lambda plant: plant.__name__,
)
def test_the_pipeline_finds_what_is_broken(
    plant: Callable[[Patch], None], monkeypatch: Patch
) -> None:
    plant(monkeypatch)
    for seed in range(SEEDS):
        try:
            live_through(seed)
        except (AssertionError, LookupError) as error:
            print(f"found by seed {seed}: {error!r}")
            return
    pytest.fail(f"{SEEDS} seeds did not notice it")


# -- what the test of the rule finds -------------------------------------------------------------


class _EqualToAll(int):
    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = int.__hash__


def wrong_bytes_are_read(patch: Patch, folder: Path) -> None:
    patch.setattr(pieces, "crc32c", lambda _: _EqualToAll())
    test_pieces.test_wrong_bytes_are_found_out()


def aborted_are_those_of_the_hot_log(patch: Patch, folder: Path) -> None:
    patch.setattr(reader, "_aborted", lambda *_: ())
    test_tiering.test_aborted_transactions_are_told_on_both_sides_of_the_border(folder)


def a_deposed_leader_commits(patch: Patch, folder: Path) -> None:
    patch.setattr(deciders, "_check_leader", lambda *_: TopicPartition("t", 0))
    test_tier.test_a_commit_that_comes_too_late(test_tier.another_leader, FencedLeaderEpochError)


def producer_ids_stay_on_restore(patch: Patch, folder: Path) -> None:
    patch.setattr(restoring, "PRODUCER_IDS_SKIPPED", 0)
    world = test_restoring.LostCluster(folder / "data")
    world.uploader._cluster_id = test_restoring.CLUSTER_ID
    test_restoring.test_everything_moves_past_what_the_old_host_may_have_done(world)


@pytest.mark.parametrize(
    "defect",
    [
        wrong_bytes_are_read,
        aborted_are_those_of_the_hot_log,
        a_deposed_leader_commits,
        producer_ids_stay_on_restore,
    ],
    ids=lambda defect: defect.__name__,
)
def test_the_test_of_a_rule_finds_it_broken(
    defect: Callable[[Patch, Path], None], monkeypatch: Patch, tmp_path: Path
) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception)) as found:
        defect(monkeypatch, tmp_path)
    print(f"found: {found.value!r}")
