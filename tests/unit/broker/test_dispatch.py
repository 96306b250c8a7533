"""Dispatch: what a request provokes closes its own connection, and only a broken invariant more."""

import asyncio
import pathlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tests.broker.wire_client import encode_header, encode_request
from tests.handler_bench import HandlerBench
from tierbroker.base.errors import CloseConnection
from tierbroker.base.pending import Pending
from tierbroker.base.tasks import TaskSupervisor
from tierbroker.broker.dispatch import Dispatcher
from tierbroker.broker.registry import SPECS
from tierbroker.wire.api_keys import ApiKey
from tierbroker.wire.header import decode_response_header
from tierbroker.wire.messages import api_versions, describe_groups, metadata
from tierbroker.wire.messages.api_versions import ApiVersionsRequest
from tierbroker.wire.messages.describe_groups import (
    DescribedGroup,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
)
from tierbroker.wire.messages.metadata import MetadataRequest, MetadataResponse

VERSION = 12


class Rig:
    """A dispatcher whose Metadata handler is the test's."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.failures: list[BaseException] = []
        self.supervisor = TaskSupervisor(self.failures.append)
        self.bench = HandlerBench(folder)
        self.dispatcher = Dispatcher(SPECS, self.bench.services, self.supervisor)
        self.peer: Any = SimpleNamespace(
            id=1, client_host="client", client_port=7, listener_name="PLAINTEXT", session=None
        )

    def handle_with(self, handler: Callable[[Any, Any], Any], monkeypatch: Any) -> None:
        monkeypatch.setattr("tierbroker.broker.handlers.metadata.handle", handler)

    def ask(self, frame: bytes | None = None) -> Any:
        request = frame or encode_request(MetadataRequest(topics=[]), VERSION, 5)
        return self.dispatcher(self.peer, bytearray(request))


@pytest.fixture
def rig(tmp_path: pathlib.Path) -> Rig:
    return Rig(tmp_path)


def decoded(parts: Any) -> MetadataResponse:
    frame = b"".join(bytes(part) for part in parts)
    correlation_id, position = decode_response_header(ApiKey.METADATA, VERSION, frame)
    assert correlation_id == 5
    response: MetadataResponse = metadata.decode_response(frame, position, VERSION)[0]
    return response


def answer(name: str) -> MetadataResponse:
    return MetadataResponse(cluster_id=name)


def unencodable() -> MetadataResponse:
    return MetadataResponse(controller_id="no number")  # type: ignore[arg-type]


def test_an_answer_at_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.handle_with(lambda request, context: answer("now"), monkeypatch)
    assert decoded(rig.ask()).cluster_id == "now"


def test_the_context_is_the_request_without_its_body(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    rig.handle_with(lambda request, context: seen.append(context) or answer("x"), monkeypatch)
    rig.ask()
    rig.ask()
    assert [(c.api_version, c.client_id) for c in seen] == [(VERSION, "wire-test")] * 2
    assert seen[0].session is seen[1].session


def test_a_pending_answer(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    inner: Pending[Any] = Pending()
    rig.handle_with(lambda request, context: inner, monkeypatch)
    reply = rig.ask()
    assert not reply.done
    inner.resolve(answer("later"))
    assert decoded(reply.result()).cluster_id == "later"


def test_a_pending_answer_that_fails_closes_its_connection(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner: Pending[Any] = Pending()
    rig.handle_with(lambda request, context: inner, monkeypatch)
    reply = rig.ask()
    inner.fail(LookupError("nobody thought of it"))
    assert isinstance(reply.error, CloseConnection)
    assert rig.dispatcher.refused == 1


@pytest.mark.parametrize("error", [AssertionError("went back"), CloseConnection("no")])
def test_what_a_pending_answer_fails_with_on_purpose_stays(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    inner: Pending[Any] = Pending()
    rig.handle_with(lambda request, context: inner, monkeypatch)
    reply = rig.ask()
    inner.fail(error)
    assert reply.error is error


@pytest.mark.parametrize("later", [False, True])
def test_a_long_answer_is_encoded_in_turns(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, later: bool
) -> None:
    inner: Pending[Any] = Pending()
    groups = [DescribedGroup(group_id=f"g-{number}") for number in range(1000)]

    def handle(request: Any, context: Any) -> Any:
        return inner if later else DescribeGroupsResponse(groups=list(groups))

    monkeypatch.setattr("tierbroker.broker.handlers.describe_groups.handle", handle)
    reply = rig.ask(encode_request(DescribeGroupsRequest(["g"]), 5, 5))
    if later:
        inner.resolve(DescribeGroupsResponse(groups=list(groups)))
    assert rig.bench.count_turns(reply) > 10
    frame = b"".join(reply.result())
    _, position = decode_response_header(ApiKey.DESCRIBE_GROUPS, 5, frame)
    response, end = describe_groups.decode_response(frame, position, 5)
    assert [group.group_id for group in response.groups] == [group.group_id for group in groups]
    assert end == len(frame)


def test_a_long_answer_is_not_encoded_to_its_end_for_a_client_that_left(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    response = DescribeGroupsResponse(groups=[DescribedGroup(group_id="g")] * 1000)
    monkeypatch.setattr(
        "tierbroker.broker.handlers.describe_groups.handle", lambda request, context: response
    )
    reply = rig.ask(encode_request(DescribeGroupsRequest(["g"]), 5, 5))
    rig.bench.scheduler.end_turn(follow=False)
    reply.cancel()
    rig.bench.scheduler.end_turn()
    assert not reply.done


def test_a_later_part_of_a_long_answer_that_cannot_be_encoded(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = [DescribedGroup(group_id="g") for _ in range(1000)]
    groups[-1].error_code = "no number"  # type: ignore[assignment]
    monkeypatch.setattr(
        "tierbroker.broker.handlers.describe_groups.handle",
        lambda request, context: DescribeGroupsResponse(groups=groups),
    )
    reply = rig.ask(encode_request(DescribeGroupsRequest(["g"]), 5, 5))
    assert not reply.done
    rig.bench.count_turns(reply)
    assert isinstance(reply.error, CloseConnection)
    assert rig.dispatcher.refused == 1


def test_no_answer_at_all(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    inner: Pending[Any] = Pending()
    rig.handle_with(lambda request, context: inner, monkeypatch)
    reply = rig.ask()
    inner.resolve(None)
    assert reply.result() is None


def test_a_client_that_leaves_is_passed_on(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[bool] = []
    inner: Pending[Any] = Pending(on_cancel=lambda: left.append(True))
    rig.handle_with(lambda request, context: inner, monkeypatch)
    rig.ask().cancel()
    assert left == [True]


async def test_a_coroutine(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def handler(request: Any, context: Any) -> MetadataResponse:
        await asyncio.sleep(0)
        return answer("awaited")

    rig.handle_with(handler, monkeypatch)
    assert decoded(await rig.ask()).cluster_id == "awaited"


async def test_a_coroutine_that_fails_closes_its_connection(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def handler(request: Any, context: Any) -> MetadataResponse:
        raise ZeroDivisionError

    rig.handle_with(handler, monkeypatch)
    with pytest.raises(CloseConnection):
        await rig.ask()
    await rig.supervisor.stop()
    assert rig.failures == []


def test_a_handler_that_fails_closes_its_connection(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.handle_with(lambda request, context: 1 // 0, monkeypatch)
    with pytest.raises(CloseConnection):
        rig.ask()


def test_a_broken_invariant_goes_further(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def handler(request: Any, context: Any) -> None:
        raise AssertionError("offsets went back")

    rig.handle_with(handler, monkeypatch)
    with pytest.raises(AssertionError):
        rig.ask()


async def test_an_answer_that_cannot_be_encoded_closes_its_connection(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.handle_with(lambda request, context: unencodable(), monkeypatch)
    with pytest.raises(CloseConnection):
        rig.ask()

    async def handler(request: Any, context: Any) -> MetadataResponse:
        return unencodable()

    rig = Rig(pathlib.Path("unused"))
    rig.handle_with(handler, monkeypatch)
    with pytest.raises(CloseConnection):
        await rig.ask()
    await rig.supervisor.stop()
    assert rig.failures == []


def test_whoever_finishes_the_work_does_not_hear_of_a_bad_answer(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner: Pending[Any] = Pending()
    rig.handle_with(lambda request, context: inner, monkeypatch)
    reply = rig.ask()
    inner.resolve(unencodable())
    assert isinstance(reply.error, CloseConnection)


@pytest.mark.parametrize("version", [-1, 14])
def test_other_versions_close_the_connection(rig: Rig, version: int) -> None:
    with pytest.raises(CloseConnection):
        rig.ask(encode_header(ApiKey.METADATA, version, 5, flexible=True) + bytes(9))


@pytest.mark.parametrize("frame", [b"", b"\x00\x03", encode_header(999, 0, 1) + bytes(9)])
def test_what_is_no_request_closes_the_connection(rig: Rig, frame: bytes) -> None:
    with pytest.raises(CloseConnection):
        rig.dispatcher(rig.peer, bytearray(frame))


def test_an_unknown_version_of_api_versions_is_answered_in_version_0(rig: Rig) -> None:
    frame = encode_header(ApiKey.API_VERSIONS, 99, 5, flexible=True) + b"whatever"
    parts = rig.dispatcher(rig.peer, bytearray(frame))
    assert isinstance(parts, list)
    data = b"".join(bytes(part) for part in parts)  # type: ignore[arg-type]
    response, end = api_versions.decode_response(data, 4, 0)
    assert (response.error_code, end) == (35, len(data))
    assert [entry.api_key for entry in response.api_keys] == [18]


def test_every_api_of_the_registry_has_a_handler(rig: Rig) -> None:
    rig.dispatcher.preload([spec.key for spec in SPECS])
    frame = encode_request(ApiVersionsRequest(), 0, 5)
    assert rig.dispatcher(rig.peer, bytearray(frame)) is not None
