"""Kafka's text checkpoints: a version line, a count line, then one entry a line.

`recovery-point-offset-checkpoint`, `log-start-offset-checkpoint`,
`replication-offset-checkpoint` and `cleaner-offset-checkpoint` hold `topic partition offset`
(Kafka: CheckpointFile). Writing them to disk atomically is the caller's work.
"""

from collections.abc import Iterable, Sequence

from tierbroker.records.errors import CorruptCheckpointError

CURRENT_VERSION = 0


def encode_lines(lines: Sequence[str]) -> bytes:
    """A checkpoint of these entry lines."""
    return "".join(f"{line}\n" for line in (str(CURRENT_VERSION), str(len(lines)), *lines)).encode()


def decode_lines(data: bytes, fields: int) -> list[list[str]]:
    """The entries, each split at its spaces; CorruptCheckpointError on anything unexpected.

    `fields` is how many each line must have. A file cut short has fewer lines than it claims.
    """
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise CorruptCheckpointError("the checkpoint is not text") from error
    if len(lines) < 2:
        raise CorruptCheckpointError("the checkpoint has no version and count")
    version, count = parse_number(lines[0]), parse_number(lines[1])
    if version != CURRENT_VERSION:
        raise CorruptCheckpointError(f"unknown version {version} of a checkpoint")
    entries = [line.split(" ") for line in lines[2:] if line]
    if len(entries) != count:
        raise CorruptCheckpointError(
            f"the checkpoint claims {count} entries, {len(entries)} follow"
        )
    for entry in entries:
        if len(entry) != fields:
            raise CorruptCheckpointError(f"malformed entry {' '.join(entry)!r}")
    return entries


def parse_number(text: str) -> int:
    """A plain decimal number; CorruptCheckpointError for anything else."""
    digits = text[1:] if text.startswith("-") else text
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 19):
        raise CorruptCheckpointError(f"{text[:40]!r} is not a number")
    return int(text)


def encode(offsets: Iterable[tuple[str, int, int]]) -> bytes:
    """A checkpoint of (topic, partition, offset)."""
    return encode_lines([f"{topic} {partition} {offset}" for topic, partition, offset in offsets])


def decode(data: bytes) -> list[tuple[str, int, int]]:
    """The (topic, partition, offset) entries; CorruptCheckpointError on anything unexpected."""
    return [
        (topic, parse_number(partition), parse_number(offset))
        for topic, partition, offset in decode_lines(data, fields=3)
    ]
