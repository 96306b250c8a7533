"""The console producer and consumer of Apache Kafka: its Java clients, driven by text.

The producer reads lines, so a line may hold neither of the characters that Java ends a line at;
key and value are kept apart by a control character that source text does not hold.
"""

from collections.abc import Sequence

from integration.clients import READ_TIMEOUT_S, Line
from integration.java_tools import run_tool

KEY_END = "\x1f"
RECORD_END = "\x1e"


def write(bootstrap: str, topic: str, lines: Sequence[Line], codec: str) -> None:
    key_end = KEY_END.encode()
    for key, value in lines:
        assert not {b"\r", b"\n", key_end} & {bytes([c]) for c in key + value}, (key, value)
        (key + value).decode()
    output = run_tool(
        "ConsoleProducer",
        *("--bootstrap-server", bootstrap, "--topic", topic),
        *("--compression-codec", codec),
        *("--reader-property", "parse.key=true"),
        *("--reader-property", f"key.separator={KEY_END}"),
        stdin=b"".join(key + key_end + value + b"\n" for key, value in lines),
    )
    assert not output.stderr, f"the console producer complained: {output.stderr[-4000:]!r}"


def read(bootstrap: str, topic: str, partition: int, count: int) -> list[Line]:
    output = run_tool(
        "consumer.ConsoleConsumer",
        *("--bootstrap-server", bootstrap, "--topic", topic),
        *("--partition", str(partition), "--offset", "earliest"),
        *("--max-messages", str(count), "--timeout-ms", str(int(READ_TIMEOUT_S * 1000))),
        *("--formatter-property", "print.key=true"),
        *("--formatter-property", f"key.separator={KEY_END}"),
        *("--formatter-property", f"line.separator={RECORD_END}"),
    )
    records = output.stdout.split(RECORD_END.encode())
    assert records.pop() == b"", "the last record has no end"
    lines = [tuple(record.split(KEY_END.encode(), 1)) for record in records]
    assert len(lines) == count, f"only {len(lines)} of {count} records came: {output.stderr!r}"
    return lines  # type: ignore[return-value] # split(…, 1) of a record that has a separator gives two
