"""Work at nice 19 in a process of its own: `python -m bench.nice_load KIND …`.

    put ENDPOINT FILE …                        put the files into the bucket, 4 at a time
    get ENDPOINT                               read all segments there, 8 ranges of 4 MiB at a time
    fetch HOST:PORT TOPIC PARTITIONS END       read a topic through the broker, up to an offset
    spin SECONDS                               use a core

`bench.beside_work` takes its control runs beside these.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from obstore.store import S3Store

from bench.cold_read import FETCH_BYTES
from bench.tiered import fetch_all, plain_store, segment_objects
from bench.wire_client import WireClient

NICE = 19
RANGE_BYTES = 4 << 20


def start(*arguments: object) -> "subprocess.Popen[bytes]":
    """Begin it; it ends by itself."""
    return subprocess.Popen([sys.executable, "-m", "bench.nice_load", *map(str, arguments)])


def put(store: S3Store, paths: Sequence[str]) -> None:
    """As many at a time as a broker uploads, tier.upload.concurrency."""
    with ThreadPoolExecutor(4) as threads:
        for _ in threads.map(
            lambda number: store.put(f"control/{number}", Path(paths[number]).read_bytes()),
            range(len(paths)),
        ):
            pass


def get(store: S3Store) -> None:
    """As many and as large ranges at a time as a broker reads ahead, tier.read.ahead."""
    ranges = [
        (key, position, min(RANGE_BYTES, size - position))
        for key, size in segment_objects(store)
        for position in range(0, size, RANGE_BYTES)
    ]
    with ThreadPoolExecutor(8) as threads:
        for _ in threads.map(
            lambda one: store.get_range(one[0], start=one[1], length=one[2]), ranges
        ):
            pass


def main() -> None:
    """Do one kind of work."""
    os.nice(NICE)
    kind, *rest = sys.argv[1:]
    if kind == "put":
        put(plain_store(rest[0]), rest[1:])
    elif kind == "get":
        get(plain_store(rest[0]))
    elif kind == "fetch":
        client = WireClient(rest[0])
        for partition in range(int(rest[2])):
            fetch_all(client, rest[1], partition, 0, int(rest[3]), FETCH_BYTES)
    else:
        end = time.monotonic() + float(rest[0])
        while time.monotonic() < end:
            pass


if __name__ == "__main__":
    main()
