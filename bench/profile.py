"""Where the broker's time goes in a row: `python -m bench.profile ROW [--sort KEY] [--lines N]`.

Runs one repetition of the row against a broker under cProfile and prints the functions that took
most. A profiled broker is about twice as slow, and Python code looks dearer than calls into the
kernel: what is of use is how the time divides.
"""

import argparse
import os
import pstats
import signal
import sys
import tempfile
from pathlib import Path

from bench.__main__ import ROWS
from bench.system import Tierbroker, remove_data


def main() -> None:
    """Profile one row."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("row", choices=[row.name for row in ROWS if row.durability])
    parser.add_argument("--sort", default="tottime", help="tottime or cumtime")
    parser.add_argument("--lines", type=int, default=40)
    options = parser.parse_args()
    row = next(row for row in ROWS if row.name == options.row)
    assert row.durability is not None
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "profile"
        system = Tierbroker(launcher=(sys.executable, "-m", "bench.profiled", str(output)))
        system.start(row.durability)
        try:
            row.prepare(system)
            os.kill(system.pid, signal.SIGUSR2)
            figures = row.measure(system)
            os.kill(system.pid, signal.SIGUSR2)
        finally:
            system.stop()
            remove_data()
        statistics = pstats.Stats(str(output))
    for figure in row.figures:
        print(f"{figure.name}: {figures[figure.name]:.3f} {figure.unit} (profiled)")
    statistics.strip_dirs().sort_stats(options.sort).print_stats(options.lines)


if __name__ == "__main__":
    main()
