"""/metrics: asks every part for its samples and writes them as Prometheus wants them.

In turns of the loop, so that a scrape of many topics never holds up a request. What can be relied
on all the same: what is told of one partition is of one moment, and so is what is told of the tier
of one partition, of the groups of one shard, and of every other part; sums over partitions add up
such moments, which lie as far apart as the scrape takes. A counter never goes back from one scrape
to the next while its topics stay. Imported, on a worker, when somebody scrapes for the first time,
for prometheus_client takes its time.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from typing import TYPE_CHECKING

from tierbroker import __version__
from tierbroker.base.metrics import Metric, Sample, Samples, gauge
from tierbroker.base.pending import Pending
from tierbroker.base.story import sleep, tell, until
from tierbroker.broker import metrics as broker_metrics
from tierbroker.cold import metrics as tier_metrics
from tierbroker.controller import metrics as controller_metrics
from tierbroker.groups import metrics as group_metrics
from tierbroker.hot import metrics as log_metrics
from tierbroker.node.exposition import Page
from tierbroker.node.parts import NodeParts
from tierbroker.replication import metrics as partition_metrics
from tierbroker.server import metrics as server_metrics
from tierbroker.server.http_messages import BadRequestError, HttpRequest, HttpResponse
from tierbroker.transactions import metrics as transaction_metrics

if TYPE_CHECKING:
    from tierbroker.node.tier_report import PartitionReport, TierReports

BUILD = gauge("build_info", "1, labelled with the version.", "version")
UPTIME = gauge("uptime_seconds", "Time since the broker was started.")
READY = gauge("ready", "1 when /readyz says that clients may come.")

METRICS: tuple[tuple[str, tuple[Metric, ...]], ...] = (
    ("Broker", (BUILD, UPTIME, READY)),
    ("Connections", server_metrics.METRICS),
    ("Requests", broker_metrics.METRICS),
    ("Topics and partitions", (*controller_metrics.METRICS, *partition_metrics.METRICS)),
    ("Disks", log_metrics.METRICS),
    ("Groups and transactions", (*group_metrics.METRICS, *transaction_metrics.METRICS)),
    ("Cold tier", tier_metrics.METRICS),
)
"""All that there are, for the page that describes them."""

PARTITIONS_A_TURN = SAMPLES_A_TURN = 500
DETAIL_PARTITION = "partition"


class MetricsPage:
    """The page of one node. `reports` is None without a cold tier."""

    def __init__(self, parts: NodeParts, reports: "TierReports | None") -> None:
        self._parts = parts
        self._reports = reports

    def handle(self, request: HttpRequest) -> Pending[HttpResponse]:
        """GET /metrics[?detail=partition]; Prometheus's text, or OpenMetrics if it is accepted."""
        detail = request.query.get("detail", "")
        if detail not in ("", DETAIL_PARTITION):
            raise BadRequestError(f"detail={detail!r}: only detail={DETAIL_PARTITION} is known")
        return tell(self._page(request.headers.get("accept", ""), details=bool(detail)))

    async def _page(self, accept: str, *, details: bool) -> HttpResponse:
        page = Page(accept)
        families: dict[str, list[Sample]] = {}
        for samples in await self._collect(details=details):
            await self._sort(samples, families)
        for name in sorted(families):
            family = families.pop(name)  # so that all are not let go in one turn
            for start in range(0, len(family), SAMPLES_A_TURN):
                page.add(family[start : start + SAMPLES_A_TURN], goes_on=start > 0)
                await self._turn()
        page.add_process()
        first, *rest = page.finish()
        return HttpResponse(200, first, page.content_type, rest=tuple(rest))

    async def _sort(self, samples: Iterable[Sample], families: dict[str, list[Sample]]) -> None:
        """To their metrics, by name."""
        iterator = iter(samples)
        while some := list(islice(iterator, SAMPLES_A_TURN)):
            for sample in some:
                families.setdefault(sample.metric.name, []).append(sample)
            await self._turn()

    def _turn(self) -> until[None]:
        return until(sleep(self._parts.scheduler, 0))

    async def _collect(self, *, details: bool) -> list[Iterable[Sample]]:
        parts = self._parts
        found: list[Iterable[Sample]] = [
            self._node_samples(),
            server_metrics.samples(parts.server),
            broker_metrics.samples(parts.dispatcher, parts.fetch_sessions),
            controller_metrics.samples(parts.controller.image),
            log_metrics.samples(parts.storage.dirs, parts.storage.flusher, parts.cleaning.cleaner),
            transaction_metrics.samples(parts.transactions),
        ]
        groups = group_metrics.GroupTotals()
        for shard in parts.groups.active_shards():
            groups.add(shard)
            await self._turn()
        found.append(groups.samples())
        totals = partition_metrics.PartitionTotals(details=details)
        partitions = list(parts.partitions)
        for start in range(0, len(partitions), PARTITIONS_A_TURN):
            totals.add(partitions[start : start + PARTITIONS_A_TURN])
            await self._turn()
        found.append(totals.samples())
        if self._reports is not None:
            found.append(self._tier_samples(self._reports))
            found.append(topic_samples(await self._reports.collect(), self._reports))
        return found

    def _node_samples(self) -> Samples:
        parts = self._parts
        yield BUILD.at(1, __version__)
        yield UPTIME.at(parts.clock.monotonic() - parts.started_at)
        yield READY.at(0 if parts.health.reasons() else 1)

    def _tier_samples(self, reports: "TierReports") -> Samples:
        tiering, now_ms = reports.tiering, self._parts.clock.now_ms()
        refused = tiering.refusal is not None
        yield from tier_metrics.store_samples(tiering.store, refused=refused, now_ms=now_ms)
        yield from tier_metrics.work_samples(tiering.uploader, tiering.reader, tiering.remover)
        yield from tier_metrics.checkpoint_samples(
            tiering.ledger.state.checkpoint, tiering.checkpointer, now_ms
        )
        yield tier_metrics.GARBAGE.at(reports.garbage_objects)


def topic_samples(found: "list[PartitionReport]", reports: "TierReports") -> Samples:
    """Sums of the tiered partitions by topic; of what waits, the longest wait."""
    for topic, group in groupby(found, key=lambda report: report.place.topic):
        of_topic = list(group)
        traffic = reports.traffic_of(of_topic[0].topic_id)
        yield from tier_metrics.topic_traffic_samples(topic, traffic)
        yield tier_metrics.HOT.at(sum(each.hot_bytes for each in of_topic), topic)
        yield tier_metrics.COLD.at(sum(each.cold_bytes for each in of_topic), topic)
        yield tier_metrics.LAG_BYTES.at(sum(each.lag.size_bytes for each in of_topic), topic)
        yield tier_metrics.LAG_SEGMENTS.at(sum(each.lag.segments for each in of_topic), topic)
        yield tier_metrics.LAG_SECONDS.at(max(each.waits_ms for each in of_topic) / 1000, topic)
        yield tier_metrics.OVERDUE.at(sum(each.overdue_bytes for each in of_topic), topic)


def all_metrics() -> Iterator[Metric]:
    """Every metric that a node can show."""
    for _, metrics in METRICS:
        yield from metrics
