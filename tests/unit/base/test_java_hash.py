"""Names are hashed as Java does it, so that clients and brokers agree about coordinators."""

import pytest

from tierbroker.base.java_hash import java_string_hash, partition_of

# What Java's String.hashCode says.
HASHES = {
    "": 0,
    "a": 97,
    "hello": 99_162_322,
    "Hello, world!": -1_880_044_555,
    "polygenelubricants": -2_147_483_648,
    "ü": 252,
    "\U0001f600": 1_772_899,
}


@pytest.mark.parametrize(("text", "expected"), HASHES.items())
def test_the_hash_is_java_s(text: str, expected: int) -> None:
    assert java_string_hash(text) == expected


@pytest.mark.parametrize(("name", "partition"), [("a", 47), ("polygenelubricants", 0)])
def test_the_partition_is_that_of_kafka(name: str, partition: int) -> None:
    assert partition_of(name, 50) == partition
