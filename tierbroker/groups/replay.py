"""Replays batches of `__consumer_offsets` into a shard that is being loaded.

A million records must be read within seconds, so the usual record (an offset without metadata, in
the versions that Kafka writes) is taken apart here by position, without an object for it; whatever
looks different goes through the codecs. What cannot be understood is never guessed: a record of an
unknown kind is counted, a malformed one raises CorruptMessageError.
"""

import struct
from collections import Counter
from collections.abc import Iterable, Iterator

from tierbroker.base.errors import CorruptMessageError
from tierbroker.base.ids import ZERO_UUID, Uuid
from tierbroker.groups import offset_rows
from tierbroker.groups.offsets import OffsetStore
from tierbroker.groups.record_codec import (
    GroupKey,
    OffsetKey,
    decode_key,
    decode_offset_prefix,
    decode_offset_value,
)
from tierbroker.records.batch import HEADER_BYTES, BatchHeader, crc_valid
from tierbroker.records.compression import Codec
from tierbroker.records.control import ControlType, read_marker
from tierbroker.records.record import Record, iterate
from tierbroker.serde.errors import DecodeError
from tierbroker.serde.varint import uvarint_tail

RECORDS_PER_STEP = 256
"""Records that are replayed before the loader may look at the clock again."""

_LAST = 127  # the last byte of a varint is at most this
_DELTAS = ("timestamp", "offset")
_INT32 = struct.Struct(">i").unpack_from
_V3_PLAIN = struct.Struct(">hqihq")
_V4_PLAIN = struct.Struct(">hqiBqB")
_V4_WITH_ID = struct.Struct(">hqiBq3s16s")
_V3, _V4 = 3, 4
_EMPTY = 1  # the length of an empty compact string
_TOPIC_ID_TAG = b"\x01\x00\x10"  # one tagged field, its tag, its size


class Replay:
    """One shard's log, batch by batch in its order."""

    def __init__(self, offsets: OffsetStore) -> None:
        self._offsets = offsets
        # Rows by the key without its partition, which saves parsing names again and again.
        self._rows: dict[bytes, offset_rows.Rows] = {}
        self.group_values: dict[str, bytes] = {}
        """The last state of each classic group, not decoded: most records are superseded."""
        self.unknown: Counter[int] = Counter()
        """Records of other kinds, by the type of their key."""

    def batch(self, data: bytes, position: int, header: BatchHeader) -> Iterable[None]:
        """Replay the batch at `position` step by step; each step is a bounded amount of work.

        Raises CorruptMessageError when its CRC or anything in it is wrong.
        """
        if not crc_valid(data, position, header):
            raise CorruptMessageError("the CRC of the batch is wrong")
        start, end = position + HEADER_BYTES, position + header.size_bytes
        if header.control:
            self._control(memoryview(data)[position:end], header.producer_id)
        elif header.codec != Codec.NONE or header.transactional:
            return self._unusual_batch(memoryview(data)[position:end], header)
        elif header.record_count > RECORDS_PER_STEP:
            return self._large_batch(data, start, end, header.record_count)
        else:
            _check_end(self._records(data, start, end, header.record_count), end)
        return ()

    def _large_batch(self, data: bytes, start: int, end: int, count: int) -> Iterator[None]:
        for done in range(0, count, RECORDS_PER_STEP):
            start = self._records(data, start, end, min(RECORDS_PER_STEP, count - done))
            yield
        _check_end(start, end)

    def _unusual_batch(self, batch: memoryview, header: BatchHeader) -> Iterator[None]:
        for number, record in enumerate(iterate(batch), start=1):
            if header.transactional:
                self._transactional(header.producer_id, record)
            else:
                self._record(record.key, record.value)
            if number % RECORDS_PER_STEP == 0:
                yield

    def _records(self, data: bytes, position: int, limit: int, count: int) -> int:
        """Replay `count` records from `position` on; the position after them.

        The same format as `records.record.iterate` reads, without a value for each record: of
        lengths and deltas only the first two bytes are taken here.
        """
        replay = self._record
        try:
            for _ in range(count):
                number = data[position]
                position += 1
                if number > _LAST:
                    number, position = _varint_tail(data, position, number)
                end = position + (number >> 1)
                position += 1  # attributes of a record: unused, always 0
                for _ in _DELTAS:
                    while data[position] > _LAST:
                        position += 1
                    position += 1
                number = data[position]
                position += 1
                if number > _LAST:
                    number, position = _varint_tail(data, position, number)
                key = value = None
                if not number & 1:
                    following = position + (number >> 1)
                    key = data[position:following]
                    position = following
                number = data[position]
                position += 1
                if number > _LAST:
                    number, position = _varint_tail(data, position, number)
                if not number & 1:
                    following = position + (number >> 1)
                    value = data[position:following]
                    position = following
                if end > limit or position >= end or (not data[position] and position + 1 != end):
                    raise CorruptMessageError(f"malformed record near byte {position} of {limit}")
                position = end  # headers, which no coordinator writes, mean nothing
                replay(key, value)
        except (IndexError, DecodeError):
            raise CorruptMessageError(f"malformed record near byte {position}") from None
        return position

    def _control(self, batch: memoryview, producer_id: int) -> None:
        marker = read_marker(batch)
        if marker is not None:
            self._rows.clear()
            self._offsets.complete(producer_id, marker.control_type is ControlType.COMMIT)

    def _record(self, key: bytes | None, value: bytes | None) -> None:
        if key is None or key[:1] != b"\x00" or key[1:2] > b"\x01":
            self._other(key, value)
            return
        prefix = key[:-4]
        if value is not None and self._offsets.is_plain:
            plain = _plain_offset(value)
            if plain is not None:
                offset, epoch, timestamp_ms, topic_id = plain
                rows = self._rows.get(prefix)
                if rows is None:
                    rows = self._offsets.rows_of(*decode_offset_prefix(prefix))
                    self._rows[prefix] = rows
                (partition,) = _INT32(key, len(prefix))
                number = self._offsets.topic_number(topic_id)
                offset_rows.put(rows, partition, offset, epoch, timestamp_ms, number)
                return
        group_id, topic = decode_offset_prefix(prefix)
        (partition,) = _INT32(key, len(prefix))
        if value is not None:
            self._offsets.put(group_id, topic, partition, decode_offset_value(value))
        else:
            self._offsets.remove(group_id, topic, partition)
            self._rows.pop(prefix, None)

    def _other(self, key: bytes | None, value: bytes | None) -> None:
        decoded = decode_key(key)
        if isinstance(decoded, GroupKey):
            if value is None:
                self.group_values.pop(decoded.group_id, None)
            else:
                self.group_values[decoded.group_id] = value
        elif not isinstance(decoded, OffsetKey):
            self.unknown[decoded.key_type] += 1

    def _transactional(self, producer_id: int, record: Record) -> None:
        decoded = decode_key(record.key)
        if not isinstance(decoded, OffsetKey):
            self._other(record.key, record.value)
        elif record.value is None:
            self._offsets.remove(*decoded)
            self._rows.clear()
        else:
            committed = decode_offset_value(record.value)
            self._offsets.add_pending(producer_id, *decoded, committed)


def _check_end(position: int, end: int) -> None:
    if position != end:
        raise CorruptMessageError(f"{end - position} bytes follow the last record of the batch")


def _varint_tail(data: bytes, position: int, first: int) -> tuple[int, int]:
    """The zigzag number whose first byte was `first`, not unfolded, and the position after it."""
    second = data[position]
    if second <= _LAST:
        return first & _LAST | second << 7, position + 1
    return uvarint_tail(data, position, first)


def _plain_offset(value: bytes) -> tuple[int, int, int, Uuid] | None:
    """(offset, leader epoch, commit timestamp, topic id) of the usual value, None for others."""
    size = len(value)
    if size == _V4_WITH_ID.size:
        version, offset, epoch, length, timestamp_ms, tag, topic_id = _V4_WITH_ID.unpack(value)
        if version == _V4 and length == _EMPTY and tag == _TOPIC_ID_TAG:
            return offset, epoch, timestamp_ms, topic_id
    elif size == _V4_PLAIN.size:
        if value[1] == _V4:
            version, offset, epoch, length, timestamp_ms, tags = _V4_PLAIN.unpack(value)
            if version == _V4 and length == _EMPTY and not tags:
                return offset, epoch, timestamp_ms, ZERO_UUID
        else:
            version, offset, epoch, length, timestamp_ms = _V3_PLAIN.unpack(value)
            if version == _V3 and not length:
                return offset, epoch, timestamp_ms, ZERO_UUID
    return None
