"""What a round of log compaction costs: our cleaning child beside Kafka's cleaner, on equal files.

Resource: one core. Limit: reading the segments once, their CRC, and writing what is live. Kafka
serves the topic and cleans it in its own process, warmed by another topic; its CPU is that of the
whole process while it cleans, less what it takes when idle. The child cleans a copy that was made
just before; its CPU is all it used, its start included. Both read from the page cache. The
results are compared record by record.

    python -m bench.compaction --records 10000000 --live-percent 1
    python -m bench.compaction --value-bytes 1000 --records 2000000
"""

import argparse
import random
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from bench.kafka import KafkaSystem
from bench.process_cost import cpu_of, cpu_seconds
from bench.system import Durability, new_directory, remove_data
from integration.broker_processes import wait_until
from tierbroker.hot.cleaning.job import CleanJob, CleanResult, SegmentFile, decode_reply, encode_job
from tierbroker.records.batch import walk
from tierbroker.records.record import iterate

SEGMENT_BYTES = 256 << 20
GIB = 1 << 30
NEVER, AT_ONCE = "1.0", "0.0"
WARMING = "warming"
IDLE_LOOK_S = 5.0
CLEAN_TIMEOUT_S = 600.0
TABLE_BYTES = 128 << 20


def create_topic(system: KafkaSystem, topic: str) -> None:
    """A compacted topic that is cleaned when the bench says so."""
    config = {
        "cleanup.policy": "compact",
        "min.cleanable.dirty.ratio": NEVER,
        "segment.bytes": str(SEGMENT_BYTES),
    }
    admin = AdminClient({"bootstrap.servers": system.bootstrap})
    for done in admin.create_topics([NewTopic(topic, 1, 1, config=config)]).values():
        done.result(30)


def fill(system: KafkaSystem, topic: str, records: int, keys: int, value_bytes: int) -> None:
    """Keys in random order; a last record that begins the segment which is not cleaned."""
    rng = random.Random(1)
    value = rng.randbytes(value_bytes)
    producer = Producer(
        {
            "bootstrap.servers": system.bootstrap,
            "linger.ms": 20,
            "batch.size": 16_384,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    for number in range(records):
        key = b"key-%012d" % rng.randrange(keys)
        while True:
            try:
                producer.produce(topic, value, key)
                break
            except BufferError:
                producer.poll(0.05)
        if number % 10_000 == 0:
            producer.poll(0)
    producer.flush()
    set_config(system, topic, "segment.ms", "1")
    time.sleep(0.5)
    producer.produce(topic, value, b"last")
    producer.flush()


def set_config(system: KafkaSystem, topic: str, name: str, value: str) -> None:
    """Change one setting of a topic."""
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": system.bootstrap})
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(30)


def logs_of(directory: Path) -> list[Path]:
    """The segments, oldest first."""
    return sorted(directory.glob("*.log"))


def clean_by_kafka(system: KafkaSystem, topic: str) -> tuple[float, float]:
    """(CPU seconds, seconds on the clock that the process was looked at)."""
    end = int(logs_of(system.data_dir / f"{topic}-0")[-1].stem)
    checkpoint = system.data_dir / "cleaner-offset-checkpoint"
    wanted = f"{topic} 0 {end}"
    started = time.perf_counter()

    def clean() -> None:
        set_config(system, topic, "min.cleanable.dirty.ratio", AT_ONCE)
        wait_until(
            lambda: checkpoint.exists() and wanted in checkpoint.read_text(),
            f"cleaning of {topic}",
            CLEAN_TIMEOUT_S,
        )

    return cpu_of(system.pid, clean), time.perf_counter() - started


def idle_share(system: KafkaSystem) -> float:
    """CPU seconds per second while nothing is asked of it."""
    before = cpu_seconds(system.pid)
    time.sleep(IDLE_LOOK_S)
    return (cpu_seconds(system.pid) - before) / IDLE_LOOK_S


def clean_by_child(directory: Path) -> tuple[float, CleanResult]:
    """(CPU seconds of the whole child, its result)."""
    logs = logs_of(directory)
    end = int(logs[-1].stem)
    job = CleanJob(
        job_id=1,
        directory=str(directory),
        topic="bench",
        partition=0,
        segments=tuple(SegmentFile(int(log.stem), log.stat().st_size, 0) for log in logs[:-1]),
        later_segments=(end,),
        first_dirty_offset=0,
        end_offset=end,
        producers=(),
        now_ms=int(time.time() * 1000),
        delete_retention_ms=86_400_000,
        table_bytes=TABLE_BYTES,
        load_factor=0.9,
        segment_bytes=SEGMENT_BYTES,
        index_bytes=10 << 20,
        index_interval_bytes=4096,
        max_message_bytes=1 << 20,
        io_buffer_bytes=512 << 10,
        io_bytes_per_second=1e18,
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "tierbroker.hot.cleaning.worker"]
    ended = subprocess.run(command, input=encode_job(job), stdout=subprocess.PIPE, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = decode_reply(ended.stdout.splitlines()[-1])
    assert isinstance(result, CleanResult), result
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, result


def offsets_in(logs: list[Path]) -> set[int]:
    """Offsets of all records with a value."""
    found: set[int] = set()
    for log in logs:
        data = log.read_bytes()
        for position, header in walk(data):
            batch = memoryview(data)[position : position + header.size_bytes]
            found.update(record.offset for record in iterate(batch))
    return found


def main() -> None:
    """Fill, copy, clean both, compare, tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--live-percent", type=float, default=1.0)
    parser.add_argument("--value-bytes", type=int, default=100)
    options = parser.parse_args()
    keys = max(1, int(options.records * options.live_percent / 100))
    system = KafkaSystem()
    system.start(Durability.REPLICATED)
    try:
        create_topic(system, WARMING)
        fill(system, WARMING, options.records // 5, keys, options.value_bytes)
        clean_by_kafka(system, WARMING)
        create_topic(system, "bench")
        fill(system, "bench", options.records, keys, options.value_bytes)
        partition = system.data_dir / "bench-0"
        copy = new_directory() / "bench-0"
        shutil.copytree(partition, copy)
        gib = sum(log.stat().st_size for log in logs_of(copy)[:-1]) / GIB
        idle = idle_share(system)
        theirs, looked_s = clean_by_kafka(system, "bench")
        theirs -= idle * looked_s
        ours, result = clean_by_child(copy)
        cleaned = sorted(copy.glob("*.log.cleaned"))
        assert offsets_in(cleaned) == offsets_in(logs_of(partition)[:-1])
    finally:
        system.stop()
        remove_data()
    statistics = result.statistics
    print(f"{options.records} records, {statistics.records_kept} live, {gib:.2f} GiB")
    for name, used in (("Kafka's cleaner", theirs), ("our child", ours)):
        rate = options.records / used / 1e6
        print(
            f"{name:16} {used:8.2f} CPU-s  {gib / used:.3f} GiB/CPU-s  {rate:.2f} M records/CPU-s"
        )
    print(f"ratio of CPU: {ours / theirs:.2f}; idle share of Kafka {idle:.3f} taken off")
    print(statistics)


if __name__ == "__main__":
    main()
