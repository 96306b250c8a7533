"""Two transcripts of one scenario: what differs, what of it is known, and a report that reads well.

`known_differences.toml` may only shrink: an entry that no answer needs any more is a failure too.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import zip_longest
from pathlib import Path
from typing import Any

from integration.differential.transcript import Step, Transcript, one_line, tree

ABSENT = "(absent)"
KNOWN_FILE = Path(__file__).with_name("known_differences.toml")
SHOWN_STEPS, SHOWN_FIELDS, SHOWN_LINES = 6, 5, 60
_INDEX = re.compile(r"\[\d+\]")


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of one answer."""

    scenario: str
    step: int
    api: str
    path: str
    kafka: Any
    tierbroker: Any


@dataclass(frozen=True, slots=True)
class Known:
    """Differences that have a reason. All patterns may hold `*`; an index is written `[*]`."""

    scenario: str
    api: str
    path: str
    kafka: str
    tierbroker: str
    reason: str

    def covers(self, difference: Difference) -> bool:
        return all(
            fnmatchcase(text, pattern)
            for text, pattern in (
                (difference.scenario, self.scenario),
                (difference.api, self.api),
                (_INDEX.sub("#", difference.path), self.path.replace("[*]", "#")),
                (one_line(difference.kafka), self.kafka),
                (one_line(difference.tierbroker), self.tierbroker),
            )
        )


def load_known(file: Path = KNOWN_FILE) -> list[Known]:
    """The list. ValueError for an entry without a reason or with a key that means nothing."""
    entries = tomllib.loads(file.read_text()).get("difference", [])
    known = []
    for entry in _one_path_each(entries):
        if not entry.get("reason"):
            raise ValueError(f"{file.name}: no reason given in {entry}")
        defaults = {"scenario": "*", "api": "*", "path": "*", "kafka": "*", "tierbroker": "*"}
        try:
            known.append(Known(**{**defaults, **entry}))
        except TypeError as error:
            raise ValueError(f"{file.name}: {error} in {entry}") from None
    return known


def _one_path_each(entries: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """`path` may be a list: each of them has to be needed."""
    for entry in entries:
        paths = entry.get("path", "*")
        for path in [paths] if isinstance(paths, str) else paths:
            yield {**entry, "path": path}


def differences(kafka: Transcript, tierbroker: Transcript) -> list[Difference]:
    """Field by field, in the order of the steps."""
    found: list[Difference] = []
    name = kafka.scenario
    for number, (theirs, ours) in enumerate(zip(kafka.steps, tierbroker.steps, strict=False), 1):
        if theirs.heading != ours.heading:
            found.append(Difference(name, number, "script", "step", theirs.heading, ours.heading))
            return found
        found += _of_a_step(name, number, theirs, ours)
    if kafka.broken or tierbroker.broken or len(kafka.steps) != len(tierbroker.steps):
        ends = [t.broken or f"ends after {len(t.steps)} steps" for t in (kafka, tierbroker)]
        found.append(Difference(name, len(tierbroker.steps), "script", "end", ends[0], ends[1]))
    return found


def _of_a_step(name: str, number: int, theirs: Step, ours: Step) -> list[Difference]:
    return [
        Difference(name, number, theirs.api, path, left, right)
        for path, left, right in _unequal(theirs.answer, ours.answer, "")
    ]


def _unequal(left: Any, right: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """The outermost fields that differ; what only one side has is one field."""
    if isinstance(left, dict) and isinstance(right, dict):
        for name in {**left, **right}:
            inner = f"{path}.{name}" if path else name
            yield from _unequal(left.get(name, ABSENT), right.get(name, ABSENT), inner)
    elif isinstance(left, list) and isinstance(right, list):
        for slot, (one, other) in enumerate(zip_longest(left, right, fillvalue=ABSENT)):
            yield from _unequal(one, other, f"{path}[{slot}]")
    elif left != right:
        yield path, left, right


def unknown(found: Iterable[Difference], known: Sequence[Known]) -> list[Difference]:
    """Those that no entry covers."""
    return [d for d in found if not any(entry.covers(d) for entry in known)]


def report(
    kafka: Transcript, tierbroker: Transcript, found: Sequence[Difference], summary: str = ""
) -> str:
    """What a person reads: the request, the fields, and both answers as one diff.

    Steps that differ in the same way (one request at many versions) are told once.
    """
    alike: dict[str, list[int]] = {}
    for number in dict.fromkeys(d.step for d in found):
        text = _step_report(number, kafka, tierbroker, [d for d in found if d.step == number])
        alike.setdefault(text, []).append(number)
    parts = [f"{kafka.scenario}: {summary}".rstrip(": ")]
    for text, numbers in list(alike.items())[:SHOWN_STEPS]:
        headings = [kafka.steps[n - 1].heading for n in numbers if 0 < n <= len(kafka.steps)]
        parts.append(f"step {_list(numbers)}: {_list(headings)}\n{text}")
    rest = [number for numbers in list(alike.values())[SHOWN_STEPS:] for number in numbers]
    if rest:
        parts.append(f"and in the steps {_list(rest)}")
    return "\n\n".join(parts)


def brief(kafka: Transcript, found: Sequence[Difference]) -> str:
    """A line for each field that differs, and the steps where it does."""
    alike: dict[str, list[int]] = {}
    for d in found:
        line = f"{d.path}: kafka {one_line(d.kafka)}, tierbroker {one_line(d.tierbroker)}"
        alike.setdefault(line, []).append(d.step)
    parts = [kafka.scenario]
    for line, numbers in alike.items():
        step = kafka.steps[numbers[0] - 1] if 0 < numbers[0] <= len(kafka.steps) else None
        where = f"{step.heading} ({step.note})" if step else "at the end"
        parts.append(f"  {line}  <- step {_list(list(dict.fromkeys(numbers)))} {where}")
    return "\n".join(parts)


def _list(items: Sequence[Any]) -> str:
    texts = [str(item) for item in items]
    return ", ".join(texts) if len(texts) < 4 else f"{texts[0]}, {texts[1]} .. {texts[-1]}"


def _step_report(
    number: int, kafka: Transcript, tierbroker: Transcript, found: Sequence[Difference]
) -> str:
    if any(d.api == "script" for d in found):
        return "\n".join(
            f"  the {d.path}: kafka {d.kafka}; tierbroker {d.tierbroker}" for d in found
        )
    theirs, ours = kafka.steps[number - 1], tierbroker.steps[number - 1]
    lines = [f"  # {theirs.note}"] if theirs.note else []
    lines.append(f"  sent: {one_line(theirs.request)}")
    lines += [
        f"  {d.path}: kafka {one_line(d.kafka)}, tierbroker {one_line(d.tierbroker)}"
        for d in found[:SHOWN_FIELDS]
    ]
    diff = difflib.unified_diff(
        list(tree(theirs.answer)), list(tree(ours.answer)), "kafka", "tierbroker", lineterm="", n=4
    )
    return "\n".join([*lines, *(f"    {line}" for line in list(diff)[:SHOWN_LINES])])
