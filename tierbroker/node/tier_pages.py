"""/v1/tier and /v1/tier/offload: the cold tier as JSON, and bringing a topic there now.

What the command line shows comes from here. Sizes are bytes, times milliseconds since 1970, and
`_ms` beside a past tense an age. Fields may be added; none changes its meaning.
"""

import logging
from collections.abc import Iterable, Sequence
from itertools import groupby

from tierbroker.base.clock import Clock
from tierbroker.base.errors import ApiError, InvalidRequestError, UnknownTopicOrPartitionError
from tierbroker.base.pending import Pending
from tierbroker.base.story import tell
from tierbroker.cold.watched_store import Operation, Outcome, TopicTraffic
from tierbroker.node.tier_report import Offloading, PartitionReport, TierReports
from tierbroker.server.http_messages import (
    BadRequestError,
    HttpRequest,
    HttpResponse,
    error_response,
    json_response,
)

logger = logging.getLogger(__name__)

NO_TIER = "this broker has no cold tier: set cold.url"


class TierPages:
    """The pages of one broker; `reports` is None without a cold tier."""

    def __init__(
        self, reports: TierReports | None, *, cluster_id: str, node_id: int, clock: Clock
    ) -> None:
        self._reports = reports
        self._who = {"cluster_id": cluster_id, "node_id": node_id}
        self._clock = clock
        self._under_way: dict[Pending[int], Offloading] = {}

    def close(self) -> None:
        """Give up what was asked for: the broker stops."""
        for under_way in list(self._under_way):
            under_way.cancel()
        self._under_way.clear()

    # -- status --------------------------------------------------------------------------------

    def status(self, request: HttpRequest) -> Pending[HttpResponse]:
        """GET /v1/tier[?topic=NAME]: with a topic, its partitions, else all topics."""
        return tell(self._status(request.query.get("topic")))

    async def _status(self, topic: str | None) -> HttpResponse:
        reports = self._reports
        if reports is None:
            return json_response({**self._who, "store": None, "topics": []})
        found = await reports.collect(topic)
        if topic is not None and not found:
            return error_response(f"the topic {topic!r} is not tiered, or not on this broker", 404)
        document = {
            **self._who,
            "now_ms": self._clock.now_ms(),
            "store": self._store(reports),
            "checkpoint": self._checkpoint(reports),
            "garbage_objects": reports.garbage_objects,
            "offloading": [each._asdict() for each in self._under_way.values()],
            "topics": _topics(found, reports),
        }
        if topic is not None:
            document["partitions"] = [_partition(report) for report in found]
        return json_response(document)

    def _store(self, reports: TierReports) -> dict[str, object]:
        tiering = reports.tiering
        watch = tiering.store.watch
        refused = tiering.refusal is not None
        return {
            "url": tiering.store.url,
            "state": "refused" if refused else watch.state,
            "refusal": tiering.refusal,
            "down_since_ms": watch.down_since_ms,
            "last_error": watch.error,
            "last_error_at_ms": watch.error_ms if watch.error is not None else None,
            "requests": {each.value: count for each, count in tiering.store.requests().items()},
            "failed_requests": sum(
                count
                for (_, outcome), count in watch.counts.items()
                if outcome in (Outcome.UNAVAILABLE, Outcome.ERROR)
            ),
            "bytes_uploaded": watch.bytes_uploaded,
            "bytes_downloaded": watch.bytes_downloaded,
        }

    def _checkpoint(self, reports: TierReports) -> dict[str, object] | None:
        tiering = reports.tiering
        newest = tiering.ledger.state.checkpoint
        failure = None if tiering.checkpointer is None else tiering.checkpointer.failure
        if newest is None:
            return None if failure is None else {"failure": failure}
        return {
            "sequence": newest.sequence,
            "metadata_offset": newest.metadata_offset,
            "taken_at_ms": newest.now_ms,
            "age_ms": max(0, self._clock.now_ms() - newest.now_ms),
            "failure": failure,
        }

    # -- offload -------------------------------------------------------------------------------

    def offload(self, request: HttpRequest) -> Pending[HttpResponse] | HttpResponse:
        """POST /v1/tier/offload {"topic": NAME, "evict": false, "wait": true}.

        200 when it is done; with `"wait": false` 202 at once, and /v1/tier lists it until then.
        Who waits and goes gives it up: what is uploaded by then stays uploaded.
        """
        wish = request.json()
        topic, evict, wait = wish.get("topic"), wish.get("evict", False), wish.get("wait", True)
        unknown = wish.keys() - {"topic", "evict", "wait"}
        if unknown:
            raise BadRequestError(f"unknown: {', '.join(sorted(unknown))}")
        if not isinstance(topic, str) or not isinstance(evict, bool) or not isinstance(wait, bool):
            raise BadRequestError('expected {"topic": TEXT, "evict": BOOLEAN, "wait": BOOLEAN}')
        if self._reports is None:
            return error_response(NO_TIER, 409)
        if not wait and any((each.topic, each.evict) == (topic, evict) for each in self._listed):
            return json_response({"topic": topic, "done": False}, 202)
        done = self._reports.tiering.offload(topic, evict=evict)
        if not done.done:
            self._under_way[done] = Offloading(topic, evict, self._clock.now_ms())
        answer: Pending[HttpResponse] = Pending(lambda: self._give_up(done))

        def finished(_: Pending[int]) -> None:
            self._under_way.pop(done, None)
            if done.error is not None and not wait:
                logger.warning("%s is not brought to the store: %s", topic, done.error)
            answer.resolve(_outcome(done, topic))

        done.on_done(finished)
        if wait or answer.done:
            return answer
        return json_response({"topic": topic, "done": False}, 202)

    @property
    def _listed(self) -> Iterable[Offloading]:
        return self._under_way.values()

    def _give_up(self, done: Pending[int]) -> None:
        self._under_way.pop(done, None)
        done.cancel()


def _outcome(done: Pending[int], topic: str) -> HttpResponse:
    error = done.error
    if error is None:
        return json_response({"topic": topic, "done": True, "partitions": done.result()})
    if isinstance(error, UnknownTopicOrPartitionError):
        return error_response(error.message, 404)
    if isinstance(error, InvalidRequestError):
        return error_response(error.message, 409)
    if isinstance(error, ApiError):
        return error_response(error.message, 503)
    raise error


def _topics(found: Sequence[PartitionReport], reports: TierReports) -> list[dict[str, object]]:
    topics = []
    for name, group in groupby(found, key=lambda report: report.place.topic):
        of_topic = list(group)
        traffic = reports.traffic_of(of_topic[0].topic_id)
        topics.append(_topic(name, of_topic, traffic))
    return topics


def _topic(
    name: str, reports: Sequence[PartitionReport], traffic: TopicTraffic
) -> dict[str, object]:
    """Sums, and of what waits the partition that waits longest."""
    waiting = [report for report in reports if report.lag.reason is not None]
    worst = max(waiting, key=lambda report: report.waits_ms, default=None)
    return {
        "topic": name,
        "partitions": len(reports),
        "hot_bytes": sum(report.hot_bytes for report in reports),
        "cold_bytes": sum(report.cold_bytes for report in reports),
        "active_bytes": sum(report.active_bytes for report in reports),
        "lag_bytes": sum(report.lag.size_bytes for report in reports),
        "lag_segments": sum(report.lag.segments for report in reports),
        "lag_ms": max(report.waits_ms for report in reports),
        "overdue_bytes": sum(report.overdue_bytes for report in reports),
        "requests": {each.value: traffic.requests.get(each, 0) for each in Operation},
        "bytes_uploaded": traffic.bytes_uploaded,
        "bytes_downloaded": traffic.bytes_downloaded,
        "waiting": None if worst is None else _waiting(worst),
    }


def _partition(report: PartitionReport) -> dict[str, object]:
    return {
        "partition": report.place.partition,
        "hot_bytes": report.hot_bytes,
        "cold_bytes": report.cold_bytes,
        "active_bytes": report.active_bytes,
        "lag_bytes": report.lag.size_bytes,
        "lag_segments": report.lag.segments,
        "lag_ms": report.waits_ms,
        "overdue_bytes": report.overdue_bytes,
        "waiting": None if report.lag.reason is None else _waiting(report),
    }


def _waiting(report: PartitionReport) -> dict[str, object]:
    oldest = report.lag.oldest
    return {
        "partition": report.place.partition,
        "base_offset": None if oldest is None else oldest.base_offset,
        "size_bytes": None if oldest is None else oldest.size_bytes,
        "reason": report.lag.reason,
    }
