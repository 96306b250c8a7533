"""What one client wrote, another reads: every pair of clients, every codec, real text."""

from collections import defaultdict
from collections.abc import Callable

import pytest

from integration.clients import CLIENT_NAMES, CODECS, Line, client

PARTITIONS = 3


@pytest.mark.timeout(600)
def test_the_whole_library_comes_back_equal(
    bootstrap: str, new_topic: Callable[..., str], corpus: list[Line]
) -> None:
    """By key, since records of one file stay in order whatever partition the client chooses."""
    confluent = client("confluent-kafka")
    topic = new_topic(PARTITIONS)
    confluent.write(bootstrap, topic, corpus, "none")

    expected, got = defaultdict(list), defaultdict(list)
    for key, value in corpus:
        expected[key].append(value)
    ends = end_offsets(bootstrap, topic)
    assert sum(ends.values()) == len(corpus)
    for partition, end in ends.items():
        for key, value in confluent.read(bootstrap, topic, partition, end):
            got[key].append(value)
    assert got.keys() == expected.keys()
    for key, values in expected.items():
        assert got[key] == values, f"{key!r} came back changed"


@pytest.mark.parametrize("reader", CLIENT_NAMES)
@pytest.mark.parametrize("writer", CLIENT_NAMES)
def test_lines_come_back_equal(
    bootstrap: str, new_topic: Callable[..., str], lines: list[Line], writer: str, reader: str
) -> None:
    """Sixteen pairs; the codec rotates, so that each is written by three clients or more."""
    codec = CODECS[(CLIENT_NAMES.index(writer) + CLIENT_NAMES.index(reader)) % len(CODECS)]
    topic = new_topic()
    client(writer).write(bootstrap, topic, lines, codec)
    back = client(reader).read(bootstrap, topic, 0, len(lines))
    for number, (sent, received) in enumerate(zip(lines, back, strict=True)):
        assert received == sent, f"record {number} of {writer} with {codec}, read by {reader}"


def end_offsets(bootstrap: str, topic: str) -> dict[int, int]:
    """The end offset of each partition, told by Kafka's tool."""
    from integration.java_tools import run_tool

    output = run_tool("GetOffsetShell", "--bootstrap-server", bootstrap, "--topic", topic)
    rows = (line.split(":") for line in output.lines)
    return {int(partition): int(offset) for _, partition, offset in rows}
