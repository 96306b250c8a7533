"""The handler of FindCoordinator: nobody coordinates, and each key is told so."""

import pathlib

import pytest

from tests.handler_bench import HandlerBench
from tierbroker.broker.handlers import find_coordinator
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.find_coordinator import FindCoordinatorRequest

CODES = {
    0: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    1: ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    2: ErrorCode.INVALID_REQUEST,
}


@pytest.mark.parametrize("kind", CODES)
def test_one_key(tmp_path: pathlib.Path, kind: int) -> None:
    request = FindCoordinatorRequest(key="k", key_type=kind)
    answer = find_coordinator.handle(request, HandlerBench(tmp_path).context(3))
    assert (answer.error_code, answer.node_id, answer.port) == (CODES[kind], -1, -1)
    assert answer.coordinators == []


@pytest.mark.parametrize("kind", CODES)
def test_several_keys(tmp_path: pathlib.Path, kind: int) -> None:
    request = FindCoordinatorRequest(coordinator_keys=["a", "b"], key_type=kind)
    answer = find_coordinator.handle(request, HandlerBench(tmp_path).context(6))
    assert [(c.key, c.error_code) for c in answer.coordinators] == [
        ("a", CODES[kind]),
        ("b", CODES[kind]),
    ]
