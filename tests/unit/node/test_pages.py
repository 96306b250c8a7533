"""What a page needs comes when somebody asks, and never at the loop's expense."""

import importlib
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tierbroker.base.executor import ManualExecutor
from tierbroker.base.pending import Pending
from tierbroker.node.pages import Pages
from tierbroker.server.http_messages import Handler, HttpRequest


class FakeEndpoint:
    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}

    def add_page(self, path: str, **methods: Handler) -> None:
        self.handlers.update({f"{method} {path}": each for method, each in methods.items()})


def test_the_first_scrape_waits_for_a_worker_to_import(monkeypatch: pytest.MonkeyPatch) -> None:
    imported: list[str] = []
    real = importlib.import_module

    def import_module(name: str) -> Any:
        imported.append(name)
        return real(name)

    monkeypatch.setattr(importlib, "import_module", import_module)
    http, executor = FakeEndpoint(), ManualExecutor()
    Pages(cast("Any", http), cast("Any", SimpleNamespace(executor=executor, tiering=None)))
    request = HttpRequest("GET", "/metrics", {"detail": "everything"})
    replies = [http.handlers["GET /metrics"](request) for _ in range(2)]
    assert imported == []
    executor.run_all()
    assert imported == ["tierbroker.node.metrics"] * 2
    for reply in replies:
        assert isinstance(reply, Pending)
        assert reply.result().status == 400
