"""Reads the records of a topic from a cold store, by docs/cold-format.md and nothing else.

    python read_cold.py DIRECTORY TOPIC

DIRECTORY is that of a file:// store, or a copy of a bucket's prefix. Prints one JSON object a
record: partition, offset, timestamp, key, value, headers. It is written to be read and imports
nothing of tierbroker; zstd, lz4 and snappy need the packages zstandard, lz4 and cramjam. Checksums
are computed in Python: it checks everything, and is slow for that.
"""

import base64
import json
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

SEGMENT, MANIFEST, CHECKPOINT = 1, 2, 3
LOG, ABORTED, SEGMENTS, INCARNATIONS, METADATA = 1, 4, 16, 17, 32
KNOWN_SECTIONS = {1, 2, 3, 4, 5, 6, 7, 16, 17, 32, 33, 34}
TOPIC_RECORD, NO_OP_RECORD, TIER_TAG = 2, 20, 10_000
STORE_BOUND, CHECKPOINTED, PARTITION, PURGE = 1, 9, 11, 12


class Segment(NamedTuple):
    base: int
    next_base: int
    intent: int
    max_timestamp: int
    checksum: int
    log_bytes: int
    object_bytes: int
    epoch: int
    incarnation: int
    flags: int


class Slice(NamedTuple):
    base: int
    next_base: int
    intent: int
    max_timestamp: int
    checksum: int
    log_bytes: int
    object_bytes: int
    epoch: int
    count: int
    incarnation: int
    flags: int


class Partition:
    def __init__(self, topic_id: bytes, number: int, log_start: int) -> None:
        self.topic_id, self.number, self.log_start = topic_id, number, log_start
        self.slices: list[Slice] = []
        self.segments: list[Segment] = []


class Cluster(NamedTuple):
    cluster_id: str
    topics: dict[str, bytes]
    incarnations: list[bytes]
    partitions: dict[tuple[bytes, int], Partition]


def crc_table(polynomial: int) -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (polynomial if byte & 1 else 0)
        table.append(byte)
    return table


CRC32C = crc_table(0x82F63B78)
CRC64NVME = crc_table(0x9A6C9329AC4BC9B5)


def crc(data: bytes, table: list[int], bits: int) -> int:
    ones = (1 << bits) - 1
    value = ones
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ ones


def uuid_text(uuid: bytes) -> str:
    return base64.urlsafe_b64encode(uuid).decode().rstrip("=")


def check(condition: bool, complaint: str) -> None:
    if not condition:
        raise SystemExit(complaint)


def read_frame(data: bytes, content: int, what: str) -> dict[int, bytes]:
    """The sections of an object, by kind."""
    check(len(data) >= 24 and data[-8:] == b"TIEROBJ\x01", f"{what} is no object of a cold tier")
    version, found, count, _, _, checksum, _ = struct.unpack(">HHHHII8s", data[-24:])
    check(version == 1, f"{what} has version {version}")
    check(found == content, f"{what} is of kind {found}, not {content}")
    table = len(data) - 24 - 24 * count
    check(count <= 64 and table >= 0, f"{what} has no room for {count} sections")
    check(crc(data[table:-12], CRC32C, 32) == checksum, f"{what} has a damaged table")
    sections = {}
    for entry in struct.iter_unpack(">HHIQQ", data[table:-24]):
        kind, flags, section_checksum, position, length = entry
        check(position + length <= table, f"section {kind} of {what} is too long")
        if kind not in KNOWN_SECTIONS:
            check(not flags & 1, f"{what} needs a newer reader for section {kind}")
            continue
        sections[kind] = data[position : position + length]
        if kind != LOG:
            good = crc(sections[kind], CRC32C, 32) == section_checksum
            check(good, f"section {kind} of {what} is damaged")
    return sections


class Batch(NamedTuple):
    base_offset: int
    last_offset: int
    attributes: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    count: int
    records: bytes

    @property
    def control(self) -> bool:
        return bool(self.attributes & 0x20)

    @property
    def transactional(self) -> bool:
        return bool(self.attributes & 0x10)


def read_batches(data: bytes, what: str) -> Iterator[Batch]:
    position = 0
    while position < len(data):
        fields = struct.unpack_from(">qiibIhiqqqhii", data, position)
        base, length, _, magic, checksum, attributes, last_delta, first_ms, max_ms = fields[:9]
        body = data[position + 21 : position + 12 + length]
        check(magic == 2 and len(body) == length - 9, f"{what}: no batch at byte {position}")
        check(crc(body, CRC32C, 32) == checksum, f"{what}: damaged batch at byte {position}")
        records = data[position + 61 : position + 12 + length]
        yield Batch(
            base, base + last_delta, attributes, first_ms, max_ms, fields[9], fields[12], records
        )
        position += 12 + length


def decompressed(codec: int, data: bytes) -> bytes:
    if codec == 0:
        return data
    if codec == 1:
        return zlib.decompress(data, 16 + zlib.MAX_WBITS)
    if codec == 2:
        import cramjam

        if not data.startswith(b"\x82SNAPPY\x00"):
            return bytes(cramjam.snappy.decompress_raw(data))
        pieces, position = [], 16
        while position < len(data):
            (length,) = struct.unpack_from(">i", data, position)
            block = data[position + 4 : position + 4 + length]
            pieces.append(bytes(cramjam.snappy.decompress_raw(block)))
            position += 4 + length
        return b"".join(pieces)
    if codec == 3:
        import lz4.frame

        return bytes(lz4.frame.decompress(data))
    check(codec == 4, f"unknown compression {codec}")
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


def uvarint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def varint(data: bytes, position: int) -> tuple[int, int]:
    value, position = uvarint(data, position)
    return value >> 1 ^ -(value & 1), position


def sized(data: bytes, position: int) -> tuple[bytes | None, int]:
    length, position = varint(data, position)
    if length < 0:
        return None, position
    return data[position : position + length], position + length


def read_records(batch: Batch) -> Iterator[dict[str, Any]]:
    data = decompressed(batch.attributes & 7, batch.records)
    position = 0
    for _ in range(batch.count):
        _, position = varint(data, position)
        timestamp_delta, position = varint(data, position + 1)
        offset_delta, position = varint(data, position)
        key, position = sized(data, position)
        value, position = sized(data, position)
        count, position = varint(data, position)
        headers = []
        for _ in range(count):
            name, position = sized(data, position)
            content, position = sized(data, position)
            headers.append((name, content))
        timestamp = batch.base_timestamp + timestamp_delta
        if batch.attributes & 8:
            timestamp = batch.max_timestamp
        yield {
            "offset": batch.base_offset + offset_delta,
            "timestamp": timestamp,
            "key": key,
            "value": value,
            "headers": headers,
        }


def tagged_fields(data: bytes, position: int) -> dict[int, bytes]:
    fields = {}
    count, position = uvarint(data, position)
    for _ in range(count):
        tag, position = uvarint(data, position)
        size, position = uvarint(data, position)
        fields[tag] = data[position : position + size]
        position += size
    return fields


def read_metadata(data: bytes, cluster: Cluster) -> None:
    for batch in read_batches(data, "METADATA"):
        for record in () if batch.control else read_records(batch):
            value = record["value"]
            frame, position = uvarint(value, 0)
            record_id, position = uvarint(value, position)
            version, position = uvarint(value, position)
            check(frame == 1, f"unknown frame {frame} of a metadata record")
            if record_id == TOPIC_RECORD:
                check(version == 0, f"unknown version {version} of a TopicRecord")
                length, position = uvarint(value, position)
                name = value[position : position + length - 1].decode()
                position += length - 1
                cluster.topics[name] = value[position : position + 16]
            elif record_id == NO_OP_RECORD:
                event = tagged_fields(value, position).get(TIER_TAG)
                if event is not None:
                    read_event(event, cluster)


def read_event(event: bytes, cluster: Cluster) -> None:
    kind, version = event[0], event[1]
    known = kind in (STORE_BOUND, CHECKPOINTED, PARTITION, PURGE) and version == 0
    check(known, f"the checkpoint has an event of kind {kind}, version {version}: a newer format")
    if kind == STORE_BOUND:
        cluster.incarnations.append(event[18:34])
    if kind != PARTITION:
        return
    topic_id, number, log_start, purged, *counts = struct.unpack_from(">16siqBIIIII", event, 2)
    if purged:
        return
    partition = cluster.partitions.setdefault(
        (topic_id, number), Partition(topic_id, number, log_start)
    )
    slices_end = 51 + 68 * counts[0]
    segments_end = slices_end + 56 * counts[1]
    partition.slices += read_slices(event[51:slices_end])
    partition.segments += read_segments(event[slices_end:segments_end])


def read_slices(data: bytes) -> list[Slice]:
    return [Slice(*fields) for fields in struct.iter_unpack(">qqqqQqqiiHH", data)]


def read_segments(data: bytes) -> list[Segment]:
    return [Segment(*fields) for fields in struct.iter_unpack(">qqqqQIIiHH", data)]


def read_cluster(store: Path) -> Cluster:
    """What the latest checkpoint says of records."""
    head = json.loads((store / "head").read_bytes())
    check(head["format"] == 1, f"the head has format {head['format']}")
    check(bool(head["checkpoints"]), "there is no checkpoint yet")
    latest = head["checkpoints"][0]
    data = get_object(store, latest["key"], latest["size_bytes"], int(latest["crc64nvme"], 16))
    cluster = Cluster(head["cluster_id"], {}, [], {})
    read_metadata(read_frame(data, CHECKPOINT, latest["key"])[METADATA], cluster)
    return cluster


def get_object(store: Path, key: str, size_bytes: int, checksum: int) -> bytes:
    data = (store / key).read_bytes()
    check(len(data) == size_bytes, f"{key} has {len(data)} bytes, not {size_bytes}")
    check(crc(data, CRC64NVME, 64) == checksum, f"{key} does not match its checksum")
    return data


def object_key(cluster: Cluster, partition: Partition, entry: Segment | Slice, suffix: str) -> str:
    incarnation = uuid_text(cluster.incarnations[entry.incarnation])
    return (
        f"{cluster.cluster_id}/{incarnation}/{uuid_text(partition.topic_id)}/{partition.number}/"
        f"{entry.base:020}-{entry.next_base - 1:020}.{entry.epoch}.{entry.intent}.{suffix}"
    )


def segments_of(store: Path, cluster: Cluster, partition: Partition) -> Iterator[Segment]:
    """All that count, oldest first."""
    for entry in partition.slices:
        key = object_key(cluster, partition, entry, "man")
        data = get_object(store, key, entry.object_bytes, entry.checksum)
        sections = read_frame(data, MANIFEST, key)
        for segment in read_segments(sections[SEGMENTS]):
            if segment.next_base > partition.log_start:
                yield segment
    yield from partition.segments


def records_of(store: Path, cluster: Cluster, partition: Partition) -> Iterator[dict[str, Any]]:
    """Committed records, by offset."""
    for segment in segments_of(store, cluster, partition):
        key = object_key(cluster, partition, segment, "seg")
        data = get_object(store, key, segment.object_bytes, segment.checksum)
        sections = read_frame(data, SEGMENT, key)
        check(len(sections[LOG]) == segment.log_bytes, f"{key} has another LOG than expected")
        aborted = list(struct.iter_unpack(">Hqqqq", sections.get(ABORTED, b"")))
        previous = segment.base - 1
        for batch in read_batches(sections[LOG], key):
            in_order = previous < batch.base_offset and batch.last_offset < segment.next_base
            check(in_order, f"{key}: offset {batch.base_offset} does not follow {previous}")
            previous = batch.last_offset
            if batch.control or (batch.transactional and is_aborted(batch, aborted)):
                continue
            for record in read_records(batch):
                if record["offset"] >= partition.log_start:
                    yield record


def is_aborted(batch: Batch, aborted: list[tuple[int, int, int, int, int]]) -> bool:
    return any(
        producer_id == batch.producer_id and first <= batch.base_offset <= last
        for _, producer_id, first, last, _ in aborted
    )


def text(data: bytes | None) -> str | None:
    return None if data is None else data.decode(errors="backslashreplace")


def main(directory: str, topic: str) -> None:
    store = Path(directory)
    cluster = read_cluster(store)
    check(topic in cluster.topics, f"no topic {topic}; there are {', '.join(cluster.topics)}")
    for (topic_id, number), partition in sorted(cluster.partitions.items()):
        if topic_id != cluster.topics[topic]:
            continue
        for record in records_of(store, cluster, partition):
            record["key"], record["value"] = text(record["key"]), text(record["value"])
            record["headers"] = [[text(name), text(value)] for name, value in record["headers"]]
            print(json.dumps({"partition": number, **record}))


if __name__ == "__main__":
    check(len(sys.argv) == 3, "usage: read_cold.py DIRECTORY TOPIC")
    main(sys.argv[1], sys.argv[2])
