"""The command line as a process of its own, and what a test expects of it."""

import subprocess
import sys
from collections.abc import Callable, Mapping

TIERBROKER = [sys.executable, "-m", "tierbroker"]
DEADLINE_S = 60

Done = subprocess.CompletedProcess[bytes]
Cli = Callable[..., Done]


def cli_with(environment: Mapping[str, str], deadline_s: float = DEADLINE_S) -> Cli:
    """`cli("topic", "ls", stdin=b"")` runs `tierbroker topic ls` to its end."""

    def call(*arguments: str, stdin: bytes = b"") -> Done:
        return subprocess.run(
            [*TIERBROKER, *arguments],
            input=stdin,
            capture_output=True,
            env=environment,
            timeout=deadline_s,
            check=False,
        )

    return call


def ok(done: Done) -> bytes:
    """What a command wrote that must have succeeded."""
    assert done.returncode == 0, (done.args, done.stdout[-3000:], done.stderr[-3000:])
    return done.stdout
