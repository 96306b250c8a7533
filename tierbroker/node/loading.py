"""Opening the rest of the logs while clients are served already (D-11).

Recovery after a crash reads, and may read for long: it is done on a worker thread, where reads,
checksums and syncs release the GIL. A partition whose turn has not come answers
KAFKA_STORAGE_ERROR, which clients take as "try again".
"""

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from tierbroker.base.clock import Clock
from tierbroker.base.executor import Executor, Outcome
from tierbroker.base.pending import Pending
from tierbroker.hot.log_startup import LogStartup, OpenedBatch
from tierbroker.replication.partitions import Partitions

T = TypeVar("T")

logger = logging.getLogger(__name__)

BATCH_LOGS = 64
BATCH_S = 0.1
WORKERS = 2
"""They wait for the disk most of the time. The executor has other work to do too."""
REPORT_EVERY_S = 1.0

Progress = Callable[[int, int], None]
"""Told how many logs of how many are open, about once a second."""


async def load_rest(
    startup: LogStartup,
    partitions: Partitions,
    executor: Executor,
    clock: Clock,
    progress: Progress,
) -> None:
    """Open what `find_logs` left; returns when every partition is served. Raises DataDirError."""
    next_report = clock.monotonic() + REPORT_EVERY_S
    under_way: deque[Pending[OpenedBatch]] = deque()
    while startup.left or under_way:
        while startup.left and len(under_way) < WORKERS:
            batch = startup.take_batch(BATCH_LOGS)
            under_way.append(_on_worker(executor, partial(startup.open_batch, batch, BATCH_S)))
        partitions.attach_logs(startup.take_over(await under_way.popleft()))
        if clock.monotonic() >= next_report:
            next_report = clock.monotonic() + REPORT_EVERY_S
            logger.info("%d of %d logs are open", startup.done, startup.total)
            progress(startup.done, startup.total)
    startup.finish(await _on_worker(executor, startup.sync))


def _on_worker(executor: Executor, work: Callable[[], T]) -> Pending[T]:
    done: Pending[T] = Pending()

    def finish(outcome: Outcome[T]) -> None:
        if outcome.error is not None:
            done.fail(outcome.error)
        else:
            done.resolve(outcome.unwrap())

    executor.run(work, finish)
    return done
