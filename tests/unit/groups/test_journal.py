"""The journal of a shard writes to the shard's partition."""

from tests.group_log import GroupLog
from tierbroker.groups.journal import PartitionJournal


def test_records_go_to_the_partition_it_is_bound_to() -> None:
    log = GroupLog()
    told: list[object] = []
    PartitionJournal(log, 7).append([(b"key", b"value")], told.append)
    assert log.records(7) == [(b"key", b"value")]
    assert told == [None]
