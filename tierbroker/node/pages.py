"""Which page of the HTTP endpoint shows which part of the node.

Nothing that a page needs is imported before somebody asks for it: a start pays for none of them.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tierbroker.base.clock import Clock
from tierbroker.node.http_endpoint import HttpEndpoint
from tierbroker.server.http_messages import HttpRequest, Reply

if TYPE_CHECKING:
    from tierbroker.base.scheduler import Scheduler
    from tierbroker.node.tier_pages import TierPages
    from tierbroker.node.tiering import Tiering
    from tierbroker.replication.partitions import Partitions


@dataclass(slots=True)
class Shown:
    """The parts of a node that its pages show."""

    cluster_id: str
    node_id: int
    clock: Clock
    scheduler: "Scheduler"
    partitions: "Partitions"
    tiering: "Tiering | None"


class Pages:
    """The pages of one node beside health."""

    def __init__(self, http: HttpEndpoint, shown: Shown) -> None:
        self._shown = shown
        self._tier_pages: TierPages | None = None
        http.add_page("/v1/tier", GET=self._tier)
        http.add_page("/v1/tier/offload", POST=self._offload)

    def close(self) -> None:
        """Give up what was asked for here and goes on: the node stops."""
        if self._tier_pages is not None:
            self._tier_pages.close()

    def _tier(self, request: HttpRequest) -> Reply:
        return self._about_the_tier().status(request)

    def _offload(self, request: HttpRequest) -> Reply:
        return self._about_the_tier().offload(request)

    def _about_the_tier(self) -> "TierPages":
        if self._tier_pages is None:
            from tierbroker.node.tier_pages import TierPages
            from tierbroker.node.tier_report import TierReports

            shown = self._shown
            reports = None
            if shown.tiering is not None:
                reports = TierReports(shown.tiering, shown.partitions, shown.clock, shown.scheduler)
            self._tier_pages = TierPages(
                reports, cluster_id=shown.cluster_id, node_id=shown.node_id, clock=shown.clock
            )
        return self._tier_pages
