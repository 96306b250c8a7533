"""Reads what Kafka's dump tool says about files of a data directory.

The tool ends with exit code 0 whatever it finds, so its output is judged: each line is of a shape
that a sound file gives, or it is a fault. Nothing is taken for harmless because it is unknown.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from integration.java_tools import JavaToolError, run_tool

_SOUND = tuple(
    re.compile(pattern)
    for pattern in (
        r"Dumping \S+",
        r"Log starting offset: \d+",
        r"Snapshot end offset: \d+, epoch: \d+",
        r"KRaft bootstrap snapshot",
        r"baseOffset: .* isvalid: true",
        r"\| offset: \d+ .*headerKeys: \[\S*\]( payload: \{\"type\".*| [A-Za-z]+:? \{.*\})?",
        r"\| offset: \d+ .*headerKeys: \[\S*\] endTxnMarker: (COMMIT|ABORT) coordinatorEpoch: \d+",
        r"\| offset: \d+ .*headerKeys: \[\S*\] key: \{.*\} payload: <DELETE>",
        r"\| offset: \d+ .*headerKeys: \[\] endTxnMarker: (COMMIT|ABORT) coordinatorEpoch: \d+",
        r"offset: \d+ position: \d+",
        r"timestamp: -?\d+ offset: \d+",
        r"\S+ passed sanity check\.",
        r"\S+ is empty\.",
        r"producerId: \d+ producerEpoch: -?\d+ .*",
        r"version: 0 producerId: \d+ .*",
        r"",
    )
)
# The tool starts to compare at offset -1, so it reports the first batch of every later segment.
_FALSE_ALARM = re.compile(r"Non-consecutive offsets in \S+\n\s*-1 is followed by \d+\n?")
_BATCH = re.compile(r"baseOffset: (\d+) lastOffset: (\d+) count: (\d+) .*? position: (\d+)")

_MARKER = re.compile(r" endTxnMarker: (COMMIT|ABORT) coordinatorEpoch: \d+$")
_STATE_RECORD = re.compile(r" key: (?P<key>\{.*\}) payload: (?P<value>\{.*\}|<DELETE>)$")


StateRecord = tuple[dict, dict | None]


@dataclass(frozen=True, slots=True)
class DumpedBatch:
    """One batch of a log, as the tool tells it."""

    base_offset: int
    last_offset: int
    record_count: int
    position: int


def data_files(directory: Path, *suffixes: str) -> list[Path]:
    """All files with these suffixes below `directory`, sorted by name."""
    files = [path for path in directory.rglob("*") if path.suffix in suffixes and path.is_file()]
    return sorted(files)


def faults_of(files: Sequence[Path], *options: str) -> list[str]:
    """What the tool finds wrong with the files; `options` go to it as they are."""
    try:
        output = _dump(files, *options)
    except JavaToolError as broken:
        return [str(broken)]
    complaints = _FALSE_ALARM.sub("", output.stderr.decode(errors="replace"))
    lines = [*output.lines, *complaints.splitlines()]
    return [line for line in lines if not any(shape.fullmatch(line) for shape in _SOUND)]


def all_faults(directory: Path) -> list[str]:
    """Every check of the tool on every segment file below `directory`.

    Logs with deep iteration, indexes entry by entry against their log and once more for their
    size and order, producer snapshots. The metadata log has records of its own: `metadata_text`.
    """
    logs = [path for path in data_files(directory, ".log") if _is_topic(path)]
    indexes = [path for path in data_files(directory, ".index", ".timeindex") if _is_topic(path)]
    rest = [path for path in data_files(directory, ".snapshot", ".txnindex") if _is_topic(path)]
    assert logs, f"no log below {directory}"
    found = faults_of(logs, "--deep-iteration")
    found += faults_of(indexes)
    found += faults_of([path for path in indexes if path.stat().st_size], "--index-sanity-check")
    found += faults_of(rest)
    return found


def batches_of(log: Path) -> list[DumpedBatch]:
    """The batches of one log file, in its order."""
    rows = _BATCH.findall(_dump([log]).text)
    return [DumpedBatch(*map(int, row)) for row in rows]


def metadata_text(file: Path) -> str:
    """A metadata log or snapshot with its records decoded. AssertionError when there is a fault."""
    faults = faults_of([file], "--cluster-metadata-decoder")
    assert not faults, faults
    return _dump([file], "--cluster-metadata-decoder").text


def group_records(logs: Iterable[Path]) -> Iterator[StateRecord]:
    """The records of `__consumer_offsets`, see `_state_records`."""
    return _state_records(logs, "--offsets-decoder")


def transaction_records(logs: Iterable[Path]) -> Iterator[StateRecord]:
    """The records of `__transaction_state`, see `_state_records`."""
    return _state_records(logs, "--transaction-log-decoder")


def _state_records(logs: Iterable[Path], decoder: str) -> Iterator[StateRecord]:
    """Key and value of each record of a coordinator's log, a value of None being a deletion.

    Raises AssertionError for a record that the tool cannot read.
    """
    for line in _dump(logs, decoder).lines:
        if line.startswith("|") and not _MARKER.search(line):
            found = _STATE_RECORD.search(line)
            assert found, line
            value = found["value"]
            yield json.loads(found["key"]), None if value == "<DELETE>" else json.loads(value)


def _is_topic(path: Path) -> bool:
    """Neither of the metadata log nor of a deleted partition, whose indexes Kafka leaves as is."""
    name = path.parent.name
    return not name.startswith("__cluster_metadata") and not name.endswith("-delete")


def _dump(files: Iterable[Path], *options: str):
    names = ",".join(str(path) for path in files)
    return run_tool("DumpLogSegments", *options, "--files", names, timeout_s=240)
