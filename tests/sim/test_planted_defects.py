"""The simulation finds what was broken on purpose, each within the seeds that `make test` runs."""

from pathlib import Path

import pytest

from tests.sim.defects import DEFECTS, Plant
from tests.sim.simulation import Simulation
from tierbroker.base.errors import ApiError, DataDirError

SEEDS = 300


@pytest.mark.parametrize("plant", DEFECTS, ids=lambda plant: plant.__name__)
def test_a_planted_defect_is_caught(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    for seed in range(1, SEEDS + 1):
        folder = tmp_path / str(seed)
        folder.mkdir()
        try:
            Simulation(seed, str(folder)).run()
        except (AssertionError, ApiError, DataDirError) as error:
            print(f"caught by seed {seed}: {error}")
            return
    pytest.fail(f"{SEEDS} seeds did not notice it")
