"""Keys and values as Apache Kafka 4.3 writes them."""

import pytest

from tierbroker.base.errors import CorruptMessageError
from tierbroker.base.ids import TopicPartition
from tierbroker.transactions.record_codec import (
    NAME_BYTES_MAX,
    decode_key,
    decode_value,
    transaction_key,
    transaction_value,
)
from tierbroker.transactions.state import TransactionState
from tierbroker.transactions.values import TransactionValues

ORDERS = frozenset((TopicPartition("orders", 3),))
NOW_MS = 1_700_000_000_000

EMPTY = TransactionValues(1000, 0, 60_000, update_ms=NOW_MS)
PREPARE = TransactionValues(
    1000,
    32767,
    60_000,
    TransactionState.PREPARE_COMMIT,
    ORDERS,
    start_ms=NOW_MS + 1,
    update_ms=NOW_MS + 3,
    previous_producer_id=1000,
    next_producer_id=2000,
    client_version=2,
)
ONGOING = TransactionValues(
    1000,
    1,
    60_000,
    TransactionState.ONGOING,
    ORDERS,
    start_ms=NOW_MS + 1,
    update_ms=NOW_MS + 2,
    previous_producer_id=1000,
)
COMPLETE = TransactionValues(
    2000,
    0,
    60_000,
    TransactionState.COMPLETE_COMMIT,
    start_ms=NOW_MS + 1,
    update_ms=NOW_MS + 4,
    previous_producer_id=1000,
    client_version=2,
)

# What TransactionLog of Apache Kafka 4.3.0 makes of them, by the level of transaction.version.
KAFKA_VALUES = (
    (EMPTY, 0, "000000000000000003e800000000ea6000ffffffff0000018bcfe56800ffffffffffffffff"),
    (EMPTY, 2, "000100000000000003e800000000ea6000000000018bcfe56800ffffffffffffffff00"),
    (
        ONGOING,
        0,
        "000000000000000003e800010000ea60010000000100066f72646572730000000100000003"
        "0000018bcfe568020000018bcfe56801",
    ),
    (
        PREPARE,
        2,
        "000100000000000003e87fff0000ea600202076f72646572730200000003000000018bcfe56803"
        "0000018bcfe5680103000800000000000003e8010800000000000007d002020002",
    ),
    (
        COMPLETE,
        2,
        "000100000000000007d000000000ea6004010000018bcfe568040000018bcfe56801"
        "02000800000000000003e802020002",
    ),
)


@pytest.mark.parametrize(("values", "level", "expected"), KAFKA_VALUES)
def test_a_value_is_written_as_kafka_writes_it(
    values: TransactionValues, level: int, expected: str
) -> None:
    assert transaction_value(values, level).hex() == expected


@pytest.mark.parametrize(
    ("values", "data"), [(values, data) for values, level, data in KAFKA_VALUES if level == 2]
)
def test_what_kafka_wrote_is_read(values: TransactionValues, data: str) -> None:
    assert decode_value(bytes.fromhex(data)) == values


def test_the_old_version_has_no_room_for_other_producer_ids() -> None:
    read = decode_value(transaction_value(PREPARE, 0))
    assert read.partitions == PREPARE.partitions
    assert (read.previous_producer_id, read.next_producer_id, read.client_version) == (-1, -1, 0)


def test_level_1_has_the_flexible_version() -> None:
    assert decode_value(transaction_value(PREPARE, 1)) == PREPARE


def test_a_key_is_written_as_kafka_writes_it() -> None:
    assert transaction_key("tx-ü").hex() == "0000000574782dc3bc"
    assert decode_key(bytes.fromhex("0000000574782dc3bc")) == "tx-ü"


def test_the_longest_name_fits() -> None:
    assert decode_key(transaction_key("x" * NAME_BYTES_MAX)) == "x" * NAME_BYTES_MAX


def test_a_key_of_another_kind_is_nobody_s() -> None:
    assert decode_key(b"\x00\x07whatever") is None


@pytest.mark.parametrize("key", [None, b"", b"\x00", b"\x00\x00\x00\x05abc", b"\x00\x00\x00\x01ab"])
def test_a_broken_key_is_refused(key: bytes | None) -> None:
    with pytest.raises(CorruptMessageError):
        decode_key(key)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x00",
        b"\x00\x02" + bytes(40),
        transaction_value(PREPARE, 2)[:-1],
        transaction_value(PREPARE, 2) + b"\x00",
    ],
)
def test_a_broken_value_is_refused(value: bytes) -> None:
    with pytest.raises(CorruptMessageError):
        decode_value(value)


@pytest.mark.parametrize("state", [6, 7, 8, 99])
def test_a_state_that_is_never_written_is_refused(state: int) -> None:
    data = bytearray(transaction_value(COMPLETE, 2))
    data[16] = state
    with pytest.raises(CorruptMessageError):
        decode_value(bytes(data))
