"""Records of `__transaction_state`: keys and values with the version that precedes each.

The shapes are Kafka's own, and so is the choice of the version that is written. Nothing here
keeps or decides anything.
"""

import struct

from tierbroker.base.errors import CorruptMessageError
from tierbroker.base.ids import TopicPartition
from tierbroker.serde.errors import DecodeError
from tierbroker.transactions.records import transaction_log_key as _key
from tierbroker.transactions.records import transaction_log_value as _value
from tierbroker.transactions.records.transaction_log_key import TransactionLogKey
from tierbroker.transactions.records.transaction_log_value import (
    PartitionsSchema,
    TransactionLogValue,
)
from tierbroker.transactions.state import TransactionState
from tierbroker.transactions.values import TransactionValues, by_topic

NAME_BYTES_MAX = 0x7FFF
"""Longest transactional id that a key can hold, in bytes of UTF-8."""
FLEXIBLE_VALUES_VERSION = 1
"""The transaction version from which on values have tagged fields."""

_KEY_TYPE = 0
_INT16 = struct.Struct(">h")


def transaction_key(transactional_id: str) -> bytes:
    """The key of a transactional id."""
    return _INT16.pack(_KEY_TYPE) + _key.encode(TransactionLogKey(transactional_id), _KEY_TYPE)


def transaction_value(values: TransactionValues, feature_level: int) -> bytes:
    """The value, in the version of the cluster's `transaction.version`.

    Version 0 has no room for the other producer ids, nor for the client's transaction version.
    """
    record = TransactionLogValue(
        producer_id=values.producer_id,
        producer_epoch=values.producer_epoch,
        transaction_timeout_ms=values.timeout_ms,
        transaction_status=values.state,
        transaction_partitions=_topics(values),
        transaction_last_update_timestamp_ms=values.update_ms,
        transaction_start_timestamp_ms=values.start_ms,
    )
    version = 1 if feature_level >= FLEXIBLE_VALUES_VERSION else 0
    if version:
        record.previous_producer_id = values.previous_producer_id
        record.next_producer_id = values.next_producer_id
        record.client_transaction_version = values.client_version
    return _INT16.pack(version) + _value.encode(record, version)


def decode_key(key: bytes | None) -> str | None:
    """The transactional id, or None for a record of another kind.

    CorruptMessageError for a key that cannot be read.
    """
    if key is None or len(key) < _INT16.size:
        raise CorruptMessageError(f"{key!r} is no key of a transaction's record")
    (key_type,) = _INT16.unpack_from(key)
    if key_type != _KEY_TYPE:
        return None
    try:
        decoded, end = _key.decode(key, _INT16.size, _KEY_TYPE)
    except DecodeError as bad:
        raise CorruptMessageError(f"the key {key!r}: {bad}") from None
    if end != len(key):
        raise CorruptMessageError(f"the key {key!r} has {len(key)} bytes, not {end}")
    return str(decoded.transactional_id)


def decode_value(value: bytes) -> TransactionValues:
    """The state of a transactional id; CorruptMessageError if it cannot be read."""
    if len(value) < _INT16.size:
        raise CorruptMessageError(f"{value!r} is no value of a transaction's record")
    (version,) = _INT16.unpack_from(value)
    try:
        record, end = _value.decode(value, _INT16.size, version)
        state = TransactionState(record.transaction_status)
    except (DecodeError, ValueError) as bad:
        raise CorruptMessageError(f"transaction of version {version}: {bad}") from None
    if end != len(value):
        raise CorruptMessageError(f"transaction: {len(value) - end} bytes too many")
    if state in (TransactionState.DEAD, TransactionState.PREPARE_EPOCH_FENCE):
        raise CorruptMessageError(f"the state {state.label} is never written")
    return TransactionValues(
        producer_id=record.producer_id,
        producer_epoch=record.producer_epoch,
        timeout_ms=record.transaction_timeout_ms,
        state=state,
        partitions=frozenset(
            TopicPartition(topic.topic, partition)
            for topic in record.transaction_partitions or ()
            for partition in topic.partition_ids
        ),
        start_ms=record.transaction_start_timestamp_ms,
        update_ms=record.transaction_last_update_timestamp_ms,
        previous_producer_id=record.previous_producer_id,
        next_producer_id=record.next_producer_id,
        client_version=record.client_transaction_version,
    )


def _topics(values: TransactionValues) -> list[PartitionsSchema] | None:
    """The partitions by topic; null in the state Empty, as Kafka writes it."""
    if values.state is TransactionState.EMPTY:
        return None
    topics = by_topic(values.partitions)
    return [PartitionsSchema(topic, partitions) for topic, partitions in topics.items()]
