"""Many seeds of the simulated broker: nothing that was promised is broken in any.

SIM_SEEDS says how many, SIM_FIRST_SEED where they begin; a failure names its seed.
"""

import os
from pathlib import Path

import pytest

from tests.sim.simulation import Simulation

SEEDS = int(os.environ.get("SIM_SEEDS", "500"))
FIRST = int(os.environ.get("SIM_FIRST_SEED", "1"))
CHUNKS = 10


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_what_was_promised_is_kept(chunk: int, tmp_path: Path) -> None:
    for seed in range(FIRST + chunk, FIRST + SEEDS, CHUNKS):
        folder = tmp_path / str(seed)
        folder.mkdir()
        try:
            Simulation(seed, str(folder)).run()
        except Exception as error:
            error.add_note(f"SIM_FIRST_SEED={seed} SIM_SEEDS=1 runs this seed alone")
            raise
