"""The `tierbroker` command with cProfile in it: `python -m bench.profiled OUTPUT dev --port 0 …`.

SIGUSR2 starts the profile of the loop's thread and ends it again; OUTPUT is written at the end of
the process, for pstats. `bench.profile` is what uses this.
"""

import cProfile
import signal
import sys

from tierbroker.cli.main import run


class Switch:
    """Turns the profile on and off."""

    def __init__(self) -> None:
        self.profile = cProfile.Profile()
        self._on = False

    def __call__(self, number: int, frame: object) -> None:
        """The signal handler."""
        self._on = not self._on
        if self._on:
            self.profile.enable()
        else:
            self.profile.disable()


def main() -> None:
    """Run the command that follows the name of the output file."""
    output, arguments = sys.argv[1], sys.argv[2:]
    switch = Switch()
    signal.signal(signal.SIGUSR2, switch)
    try:
        run(arguments)
    finally:
        switch.profile.dump_stats(output)


if __name__ == "__main__":
    main()
