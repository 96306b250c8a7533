"""Scenarios that mostly wait, a few at a time, each as a test of its own.

A module-wide fixture begins all that were selected; each test waits for its own and fails with its
error. What a scenario starts it must stop itself: its thread may end with it.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

AT_A_TIME = 4


def begin_selected(
    request: pytest.FixtureRequest,
    parameter: str,
    scenarios: Mapping[str, Callable[[Path], str]],
    directory: Path,
) -> Iterator[Mapping[str, "Future[str]"]]:
    """The outcomes of those whose tests are to run, by name, in a fixture with `yield from`.

    `parameter` is the one of the tests that names the scenario.
    """
    selected = [
        item.callspec.params[parameter]
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.path == request.path
        and hasattr(item, "callspec")
        and parameter in item.callspec.params
    ]
    pool = ThreadPoolExecutor(AT_A_TIME)
    try:
        yield {name: pool.submit(scenarios[name], _made(directory / name)) for name in selected}
    finally:
        pool.shutdown(cancel_futures=True)


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory
