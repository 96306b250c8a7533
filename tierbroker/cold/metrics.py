"""Metrics of the cold tier. Names of lag are after Kafka's RemoteCopyLagBytes and -Segments."""

from typing import TYPE_CHECKING

from tierbroker.base.metrics import Samples, counter, gauge
from tierbroker.cold.watched_store import Operation, Outcome, TopicTraffic, WatchedStore

if TYPE_CHECKING:
    from tierbroker.cold.checkpointer import Checkpointer
    from tierbroker.cold.reader import TierReader
    from tierbroker.cold.remover import Remover
    from tierbroker.cold.uploader import Uploader
    from tierbroker.records.tier.events import TierCheckpointed

STORE_UP = gauge("tier_store_up", "1 while the store answers, 0 while it does not.")
STORE_DOWN = gauge("tier_store_down_seconds", "For how long the store has not answered.")
REFUSED = gauge(
    "tier_refused", "1 once the store turned out to be another cluster's: nothing is done there."
)
REQUESTS = counter(
    "tier_requests_total", "What was asked of the store, by outcome.", "operation", "outcome"
)
STORE_REQUESTS = counter(
    "tier_store_requests_total",
    "Requests as the store bills them: each part of a large upload, and looks at what was stored.",
    "operation",
)
UPLOADED = counter("tier_uploaded_bytes_total", "Bytes of objects that were stored.")
DOWNLOADED = counter("tier_downloaded_bytes_total", "Bytes that were read from the store.")
UPLOADED_SEGMENTS = counter("tier_uploaded_segments_total", "Segments that were stored.")
UPLOAD_FAILURES = counter("tier_upload_failures_total", "Uploads that were given up.")
READ_FAILURES = counter("tier_read_failures_total", "Reads of cold records that failed.")
CACHE_HITS = counter("tier_cache_hits_total", "Reads of cold records that found them in memory.")
CACHE_MISSES = counter(
    "tier_cache_misses_total", "Reads of cold records that had to wait for the store."
)
CHECKPOINT_AGE = gauge(
    "tier_checkpoint_age_seconds",
    "Time since the newest checkpoint in the store; what came after it a restore does not know.",
)
CHECKPOINT_FAILED = gauge(
    "tier_checkpoint_failed", "1 when the latest attempt to write a checkpoint failed."
)
GARBAGE = gauge(
    "tier_garbage_objects", "Objects that do not count any more and wait to be deleted."
)
DELETED = counter("tier_deleted_objects_total", "Objects that were deleted.")

HOT = gauge("tier_hot_bytes", "Log of tiered topics on this broker's disks.", "topic")
COLD = gauge("tier_cold_bytes", "Log of tiered topics in the store.", "topic")
LAG_BYTES = gauge(
    "tier_lag_bytes", "Log in closed segments that the store does not have yet.", "topic"
)
LAG_SEGMENTS = gauge(
    "tier_lag_segments", "Closed segments that the store does not have yet.", "topic"
)
LAG_SECONDS = gauge(
    "tier_lag_seconds",
    "Age of the newest record in the oldest closed segment that the store does not have yet.",
    "topic",
)
OVERDUE = gauge(
    "tier_overdue_bytes",
    "Log that is kept on disk beyond local retention, because the store does not have it.",
    "topic",
)

TOPIC_REQUESTS = counter(
    "tier_topic_requests_total",
    "What was asked of the store for a topic, whatever came of it.",
    "topic",
    "operation",
)
TOPIC_UPLOADED = counter(
    "tier_topic_uploaded_bytes_total", "Bytes of a topic's objects that were stored.", "topic"
)
TOPIC_DOWNLOADED = counter(
    "tier_topic_downloaded_bytes_total", "Bytes of a topic's objects that were read.", "topic"
)

BY_TOPIC = (HOT, COLD, LAG_BYTES, LAG_SEGMENTS, LAG_SECONDS, OVERDUE)
TRAFFIC = (TOPIC_REQUESTS, TOPIC_UPLOADED, TOPIC_DOWNLOADED)
METRICS = (
    STORE_UP,
    STORE_DOWN,
    REFUSED,
    REQUESTS,
    STORE_REQUESTS,
    UPLOADED,
    DOWNLOADED,
    UPLOADED_SEGMENTS,
    UPLOAD_FAILURES,
    READ_FAILURES,
    CACHE_HITS,
    CACHE_MISSES,
    CHECKPOINT_AGE,
    CHECKPOINT_FAILED,
    GARBAGE,
    DELETED,
    *BY_TOPIC,
    *TRAFFIC,
)


def store_samples(store: WatchedStore, *, refused: bool, now_ms: int) -> Samples:
    """The store, as its answers show it. Every operation has its answers counted from 0 on."""
    watch = store.watch
    yield STORE_UP.at(1 if watch.state == "up" else 0)
    since_ms = watch.down_since_ms
    yield STORE_DOWN.at(0 if since_ms is None else max(0, now_ms - since_ms) / 1000)
    yield REFUSED.at(1 if refused else 0)
    for operation in Operation:
        for outcome in Outcome:
            count = watch.counts.get((operation, outcome), 0)
            if count or outcome in (Outcome.OK, Outcome.UNAVAILABLE):
                yield REQUESTS.at(count, operation.value, outcome.value)
    for operation, count in store.requests().items():
        yield STORE_REQUESTS.at(count, operation.value)
    yield UPLOADED.at(watch.bytes_uploaded)
    yield DOWNLOADED.at(watch.bytes_downloaded)


def topic_traffic_samples(topic: str, traffic: TopicTraffic) -> Samples:
    """What one topic asked of the store."""
    for operation, count in traffic.requests.items():
        yield TOPIC_REQUESTS.at(count, topic, operation.value)
    yield TOPIC_UPLOADED.at(traffic.bytes_uploaded, topic)
    yield TOPIC_DOWNLOADED.at(traffic.bytes_downloaded, topic)


def work_samples(uploader: "Uploader", reader: "TierReader", remover: "Remover") -> Samples:
    """What was done since the start."""
    yield UPLOADED_SEGMENTS.at(uploader.counts.segments)
    yield UPLOAD_FAILURES.at(uploader.counts.failures)
    yield READ_FAILURES.at(reader.counts.failures)
    yield CACHE_HITS.at(reader.counts.hits)
    yield CACHE_MISSES.at(reader.counts.misses)
    yield DELETED.at(remover.deleted)


def checkpoint_samples(
    newest: "TierCheckpointed | None", checkpointer: "Checkpointer | None", now_ms: int
) -> Samples:
    """The newest checkpoint; no age before the first one."""
    if newest is not None:
        yield CHECKPOINT_AGE.at(max(0, now_ms - newest.now_ms) / 1000)
    failed = checkpointer is not None and checkpointer.failure is not None
    yield CHECKPOINT_FAILED.at(1 if failed else 0)
