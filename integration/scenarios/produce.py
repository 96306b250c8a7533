"""Produce: every codec and version, every acks, and each batch that is no good."""

import struct

from integration.differential.script import ALL, Connection, Run, between, since, until
from integration.scenarios.requests import fetched, offsets_at, produced, records
from tierbroker.records.batch import HEADER_BYTES, BatchHeader, pack_header, read_header
from tierbroker.records.checksum import crc32c
from tierbroker.records.compression import Codec
from tierbroker.wire.api_keys import ApiKey as Api

LATEST = -1
DAY_MS = 86_400_000
CRC_POSITION, CRC_START = 17, 21


def _altered(batch: bytes, **fields: int) -> bytes:
    """The batch with header fields replaced and the CRC made right again."""
    header: BatchHeader = read_header(batch)._replace(**fields)
    data = bytearray(pack_header(header) + batch[HEADER_BYTES:])
    struct.pack_into(">I", data, CRC_POSITION, crc32c(memoryview(data)[CRC_START:]))
    return bytes(data)


def every_codec(run: Run) -> None:
    """Each codec at each version, and the bytes that come back."""
    topic = run.topic("codecs")
    client = run.connect()
    for codec in Codec:
        batch = records(run, [b"one", b"two" * 100, None], codec=codec)
        client.call(Api.PRODUCE, ALL, **produced(topic, batch))
    client.call(Api.FETCH, 11, **fetched(topic, max_bytes=1 << 24))
    run.note("zstd is not for clients that do not know it")
    client.call(Api.FETCH, until(9), **fetched(topic, 40))


def every_acks(run: Run) -> None:
    """0 is not answered, others than -1, 0 and 1 are refused."""
    topic = run.topic("acks")
    client = run.connect()
    for acks in (1, -1, 2, -2):
        client.call(Api.PRODUCE, ALL, **produced(topic, records(run), acks=acks))
    run.note("no answer: the next request is answered first")
    client.send(Api.PRODUCE, 9, **produced(topic, records(run), acks=0))
    client.call(Api.PRODUCE, 9, **produced(topic, records(run), acks=-1))
    run.note("an error of acks 0 closes the connection")
    nobody = produced(run.name("nobody"), records(run), acks=0)
    client.send(Api.PRODUCE, 9, **nobody)
    client.ends()


def _each(run: Run, client: Connection, topic: str, what: str, batch: bytes | None) -> None:
    run.note(what)
    client.call(Api.PRODUCE, [3, 8, 11], **produced(topic, batch))


def bad_batches(run: Run) -> None:
    """Each is refused with its code, and the log stays as it was."""
    topic = run.topic("bad")
    client = run.connect()
    good = records(run, [b"some value"])
    client.call(Api.PRODUCE, 9, **produced(topic, good))
    spoiled = bytearray(good)
    spoiled[-1] ^= 0x40
    tall = _altered(good, producer_id=5, producer_epoch=0, base_sequence=0)
    for what, batch in {
        "a wrong CRC": bytes(spoiled),
        "a format of the future": _altered(good, magic=3),
        "nothing": b"",
        "two batches": good + good,
        "cut short": good[:-3],
        "less than a header": good[:20],
        "a length less than the header": _altered(good, batch_length=13),
        "a negative length": _altered(good, batch_length=-1),
        "too large a length": _altered(good, batch_length=1 << 30),
        "more records than there are": _altered(good, record_count=2),
        "no records": _altered(good, record_count=0, last_offset_delta=-1),
        "more offsets than records": _altered(good, last_offset_delta=5),
        "another base offset": _altered(good, base_offset=7),
        "control records": _altered(tall, attributes=0x20),
        "transactional without a transactional id": _altered(tall, attributes=0x10),
        "a codec that nobody knows": _altered(good, attributes=5),
        "a negative sequence": _altered(tall, base_sequence=-1),
        "a negative epoch": _altered(tall, producer_epoch=-1),
        "a leader epoch": _altered(good, partition_leader_epoch=9),
    }.items():
        _each(run, client, topic, what, batch)
    client.call(Api.LIST_OFFSETS, 7, **offsets_at(topic, LATEST))
    run.note("zstd before its version")
    zstd = records(run, codec=Codec.ZSTD)
    client.call(Api.PRODUCE, between(3, 6), **produced(topic, zstd))


def bytes_after_the_batch(run: Run) -> None:
    """The beginning of a second batch."""
    topic = run.topic("more")
    client = run.connect()
    good = records(run)
    client.call(Api.PRODUCE, 9, **produced(topic, good + good[:30]))


def settings_of_the_topic(run: Run) -> None:
    """Sizes, timestamps, keys: what the topic allows."""
    client = run.connect()
    small = run.topic("small", config={"max.message.bytes": "1000"})
    run.note("larger than the topic allows")
    client.call(Api.PRODUCE, ALL, **produced(small, records(run, [bytes(1000)])))
    run.note("just small enough")
    client.call(Api.PRODUCE, 9, **produced(small, records(run, [bytes(900)])))
    days = {"message.timestamp.before.max.ms": str(DAY_MS)}
    days["message.timestamp.after.max.ms"] = str(DAY_MS)
    strict = run.topic("strict", config=days)
    for shift in (-3 * DAY_MS, 3 * DAY_MS):
        run.note(f"a timestamp {shift // DAY_MS} days off")
        client.call(Api.PRODUCE, ALL, **produced(strict, records(run, at_ms=shift)))
    run.note("one of three")
    mixed = records(run, [b"1", b"2", b"3"], step_ms=2 * DAY_MS)
    client.call(Api.PRODUCE, since(8), **produced(strict, mixed))
    run.note("no timestamp")
    client.call(Api.PRODUCE, 9, **produced(strict, records(run, at_ms=-run.start_ms - 1)))
    compacted = run.topic("compacted", config={"cleanup.policy": "compact"})
    run.note("no key in a compacted topic")
    client.call(Api.PRODUCE, ALL, **produced(compacted, records(run, [b"1", b"2"], key=None)))
    client.call(Api.PRODUCE, 9, **produced(compacted, records(run, [b"1", b"2"])))
    client.call(Api.FETCH, 11, **fetched(compacted))


def log_append_time(run: Run) -> None:
    """The broker's clock: told in the answer, and in the batches."""
    topic = run.topic("stamped", config={"message.timestamp.type": "LogAppendTime"})
    client = run.connect()
    client.call(Api.PRODUCE, ALL, **produced(topic, records(run, [b"1", b"2"])))
    client.call(Api.FETCH, 11, **fetched(topic))
    packed = records(run, [b"1", b"2"], codec=Codec.GZIP)
    client.call(Api.PRODUCE, 9, **produced(topic, packed))
    run.note("far off: the timestamp is not looked at")
    client.call(Api.PRODUCE, 9, **produced(topic, records(run, at_ms=9 * DAY_MS)))


def several_partitions(run: Run) -> None:
    """Each is answered for itself; the order is that of the request."""
    topic, other = run.topic("several", partitions=3), run.topic("other")
    client = run.connect()
    bad = bytearray(records(run))
    bad[-1] ^= 1
    client.call(Api.PRODUCE, ALL, **produced(topic, records(run), bytes(bad), records(run)))
    run.note("unknown partitions and topics")
    request = produced(topic, *[records(run)] * 5)
    request["topic_data"] += produced(run.name("nobody"), records(run))["topic_data"]
    request["topic_data"] += produced(other, records(run))["topic_data"]
    client.call(Api.PRODUCE, ALL, **request)
    run.note("illegal names and negative partitions")
    wrong = produced("a b", records(run))
    wrong["topic_data"] += [
        {"name": topic, "partition_data": [{"index": -1, "records": records(run)}]}
    ]
    client.call(Api.PRODUCE, ALL, **wrong)
    run.note("nothing at all")
    client.call(Api.PRODUCE, ALL, acks=-1, timeout_ms=1000, topic_data=[])
    client.call(Api.PRODUCE, 9, **produced(topic))


def too_few_replicas(run: Run) -> None:
    """More in-sync replicas wanted than the topic has: as many as it has are enough."""
    topic = run.topic("wanting", config={"min.insync.replicas": "2"})
    client = run.connect()
    client.call(Api.PRODUCE, ALL, **produced(topic, records(run)))
    client.call(Api.PRODUCE, ALL, **produced(topic, records(run), acks=1))


def written_anew(run: Run) -> None:
    """A topic with a codec of its own: what it stores, as far as codecs pack alike."""
    client = run.connect()
    for codec in ("uncompressed", "gzip", "lz4"):
        topic = run.topic(codec, config={"compression.type": codec})
        for sent in (Codec.NONE, Codec.GZIP, Codec.SNAPPY):
            batch = records(run, [b"1", b"2", b"3"], codec=sent)
            client.call(Api.PRODUCE, 9, **produced(topic, batch))
        if codec == "uncompressed":
            client.call(Api.FETCH, 11, **fetched(topic))
        client.call(Api.LIST_OFFSETS, 7, **offsets_at(topic, run.start_ms + 1))
        client.call(Api.LIST_OFFSETS, 7, **offsets_at(topic, LATEST))
