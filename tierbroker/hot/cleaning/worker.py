"""The cleaning child: `python -m tierbroker.hot.cleaning.worker PARENT_PID`.

Takes one job a line from its input, answers lines on its output, one job after the other, and ends
at the end of its input. It lowers its own priority, so the broker beside it does not wait. A
parent that has gone is noticed when it is told of progress; the child ends then. Never replaces a
file: what it wrote lies beside the log until the broker swaps it in.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import BinaryIO

from tierbroker.base.clock import SystemClock
from tierbroker.base.fs import FileSystem, OsFileSystem
from tierbroker.hot.cleaning.job import CleanError, CleanJob, Reply, decode_job, encode_reply
from tierbroker.hot.cleaning.round import CleaningRound, Surroundings
from tierbroker.hot.cleaning.segment_reader import DamagedSegment

_NICE = 19
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve jobs until the input ends."""
    # A new broker must not meet files that the child of a killed one goes on writing.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if sys.argv[1:] and os.getppid() != int(sys.argv[1]):
        # It was killed before it could be told so.
        return
    # Ctrl-C reaches the whole terminal: the broker ends in order, and this process with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICE)
    serve(sys.stdin.buffer, sys.stdout.buffer, OsFileSystem())


def serve(jobs: BinaryIO, replies: BinaryIO, fs: FileSystem) -> None:
    """Answer each line of `jobs`. BrokenPipeError when nobody listens any more.

    ValueError, KeyError or TypeError for a line that is no job: the parent is another release.
    """

    def say(reply: Reply) -> None:
        replies.write(encode_reply(reply))
        replies.flush()

    for line in jobs:
        say(clean(decode_job(line), fs, say))


def clean(job: CleanJob, fs: FileSystem, report: Callable[[Reply], None]) -> Reply:
    """Do one job; its result or its error."""
    surroundings = Surroundings(
        fs=fs,
        monotonic=SystemClock().monotonic,
        cpu_seconds=time.process_time,
        pause=time.sleep,  # noqa: TID251 - no loop runs in this process
        report=report,
    )
    return run_round(job, surroundings)


def run_round(job: CleanJob, surroundings: Surroundings) -> Reply:
    """Run one round in given surroundings; its result or its error."""
    try:
        return CleaningRound(job, surroundings).run()
    except DamagedSegment as damage:
        return CleanError(job.job_id, damage.reason, True, damage.file, damage.position, errno=0)
    except BrokenPipeError:
        raise
    except OSError as error:
        return CleanError(
            job.job_id,
            error.strerror or str(error),
            damaged=False,
            file=os.path.basename(str(error.filename or "")),
            position=0,
            errno=error.errno or 0,
        )
    except ValueError as error:
        return CleanError(job.job_id, str(error), damaged=False, file="", position=0, errno=0)


if __name__ == "__main__":
    main()
