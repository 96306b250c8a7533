"""What a scrape tells of a partition is of one moment, however slowly it is taken."""

import pathlib

from tests.broker.wire_calls import batch_of
from tests.handler_bench import HandlerBench
from tests.log_setup import NOW_MS
from tierbroker.records.batch import read_header
from tierbroker.replication.metrics import (
    PARTITION_END,
    PARTITION_HIGH_WATERMARK,
    PARTITION_LAST_STABLE,
    PARTITION_SIZE,
    PARTITION_START,
    PartitionTotals,
)


def test_the_details_of_a_partition_are_of_one_moment(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path)
    bench.add_topic("t")
    partition = bench.partitions.get("t", 0)
    totals = PartitionTotals(details=True)
    totals.add([partition])
    found = {}
    for sample in totals.samples():
        found[sample.metric] = sample.value
        if sample.metric is PARTITION_START:
            batch = bytearray(batch_of([b"v"], timestamp_ms=NOW_MS))
            partition.append(batch, read_header(batch), -1, lambda _: None)
            bench.scheduler.end_turn()
    assert partition.high_watermark == 1
    details = (PARTITION_END, PARTITION_HIGH_WATERMARK, PARTITION_LAST_STABLE, PARTITION_SIZE)
    assert [found[metric] for metric in details] == [0, 0, 0, 0]
