"""Where Kafka's brokers find a coordinator: the hash of Java's strings, and the partition by it."""

import struct
from functools import lru_cache

_MIN_INT32 = -(1 << 31)
_REMEMBERED_LENGTH_MAX = 249
"""Hashes of longer texts are not kept: strangers may ask for many of 32 KB (INV-12)."""


def partition_of(name: str, partitions: int) -> int:
    """The partition, of so many, of an internal topic that keeps what has this name."""
    hashed = java_string_hash(name)
    # Kafka's Utils.abs: the one number without a counterpart becomes 0.
    return (0 if hashed == _MIN_INT32 else abs(hashed)) % partitions


def java_string_hash(text: str) -> int:
    """Java's String.hashCode: over the units of UTF-16, in 32 bits with sign."""
    return _remembered_hash(text) if len(text) <= _REMEMBERED_LENGTH_MAX else _hash(text)


@lru_cache(maxsize=8_192)
def _remembered_hash(text: str) -> int:
    return _hash(text)


def _hash(text: str) -> int:
    encoded = text.encode("utf-16-be", "surrogatepass")
    hashed = 0
    for unit in struct.unpack(f">{len(encoded) // 2}H", encoded):
        hashed = (31 * hashed + unit) & 0xFFFFFFFF
    return hashed - (1 << 32) if hashed >> 31 else hashed
