"""The timing of the quorum. Kafka's names and defaults (controller.quorum.*)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RaftConfig:
    """Milliseconds throughout."""

    election_timeout_ms: int = 1000
    fetch_timeout_ms: int = 2000
    fetch_max_wait_ms: int = 500
    request_timeout_ms: int = 1000
    """Without an answer to a fetch by then it is repeated; above fetch_max_wait_ms."""
    retry_backoff_ms: int = 20
    max_inflight_bytes: int = 8 * 1024 * 1024
    """Of one fetch answer (Kafka: KafkaRaftClient.MAX_BATCH_SIZE_BYTES)."""
