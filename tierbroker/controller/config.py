"""How the controller treats its own log. Kafka's names and defaults."""

from dataclasses import dataclass, field

from tierbroker.controller.raft.config import RaftConfig


@dataclass(frozen=True, slots=True)
class ControllerConfig:
    """Settings of the metadata log."""

    raft: RaftConfig = field(default_factory=RaftConfig)
    snapshot_interval_bytes: int = 20 * 1024 * 1024
    """Log since the last snapshot (metadata.log.max.record.bytes.between.snapshots)."""
    snapshot_interval_records: int = 100_000
    """Records since the last snapshot: many small ones replay slower than few large ones."""
    snapshot_batch_records: int = 256
    """Records encoded in one turn of the loop, 2 to 3 ms."""
    max_records_per_result: int = 10_000
    """What one decision may write atomically (QuorumController.MAX_RECORDS_PER_USER_OP)."""
