"""Which page of the HTTP endpoint shows which part of the node.

Nothing that a page needs is imported before somebody asks for it: a start pays for none of them.
"""

import importlib
from typing import TYPE_CHECKING

from tierbroker.base.executor import Executor, Outcome
from tierbroker.base.pending import Pending
from tierbroker.base.story import tell, until
from tierbroker.node.http_endpoint import HttpEndpoint
from tierbroker.node.parts import NodeParts
from tierbroker.server.http_messages import (
    BadRequestError,
    HttpRequest,
    HttpResponse,
    Reply,
    error_response,
)

if TYPE_CHECKING:
    from tierbroker.node.metrics import MetricsPage
    from tierbroker.node.tier_pages import TierPages
    from tierbroker.node.tier_report import TierReports

_METRICS = "tierbroker.node.metrics"


class Pages:
    """The pages of one node beside health."""

    def __init__(self, http: HttpEndpoint, parts: NodeParts) -> None:
        self._parts = parts
        self._reports: TierReports | None = None
        self._tier_pages: TierPages | None = None
        self._metrics_page: MetricsPage | None = None
        http.add_page("/metrics", GET=self._metrics)
        http.add_page("/v1/tier", GET=self._tier)
        http.add_page("/v1/tier/offload", POST=self._offload)

    def close(self) -> None:
        """Give up what was asked for here and goes on: the node stops."""
        if self._tier_pages is not None:
            self._tier_pages.close()

    def _metrics(self, request: HttpRequest) -> Reply:
        if self._metrics_page is not None:
            return self._metrics_page.handle(request)
        return tell(self._first_metrics(request))

    async def _first_metrics(self, request: HttpRequest) -> HttpResponse:
        """The module, and prometheus_client with it, is read by a worker: it takes its time."""
        await until(_import(_METRICS, self._parts.executor))
        from tierbroker.node.metrics import MetricsPage

        if self._metrics_page is None:
            self._metrics_page = MetricsPage(self._parts, self._reports_of_the_tier())
        try:
            return await until(self._metrics_page.handle(request))
        except BadRequestError as error:
            return error_response(str(error), 400)

    def _tier(self, request: HttpRequest) -> Reply:
        return self._pages_of_the_tier().status(request)

    def _offload(self, request: HttpRequest) -> Reply:
        return self._pages_of_the_tier().offload(request)

    def _pages_of_the_tier(self) -> "TierPages":
        if self._tier_pages is None:
            from tierbroker.node.tier_pages import TierPages

            parts = self._parts
            self._tier_pages = TierPages(
                self._reports_of_the_tier(),
                cluster_id=parts.storage.dirs.cluster_id,
                node_id=parts.node_id,
                clock=parts.clock,
            )
        return self._tier_pages

    def _reports_of_the_tier(self) -> "TierReports | None":
        parts = self._parts
        if self._reports is None and parts.tiering is not None:
            from tierbroker.node.tier_report import TierReports

            self._reports = TierReports(
                parts.tiering, parts.partitions, parts.clock, parts.scheduler
            )
        return self._reports


def _import(module: str, executor: Executor) -> Pending[None]:
    """Done when the module is there, read by a worker."""
    imported: Pending[None] = Pending()

    def done(outcome: Outcome[object]) -> None:
        if outcome.error is not None:
            imported.fail(outcome.error)
        else:
            imported.resolve(None)

    executor.run(lambda: importlib.import_module(module), done)
    return imported
