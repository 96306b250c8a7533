"""What was asked and what was answered, in order, as text that reads well and diffs well."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Step:
    """One request with its answer, in terms of the names of `varying.py`."""

    heading: str
    """What is sent by whom: `first: Metadata v9`."""
    api: str
    request: Any
    answer: Any
    """A dict, or a text where there is no answer: "closes the connection"."""
    version: int = -1
    note: str = ""
    """What the script says about it."""

    def text(self) -> str:
        """The step as lines: its heading, the request on one line, the answer as a tree."""
        lines = [f"# {self.note}"] if self.note else []
        lines.append(f"{self.heading} {one_line(self.request)}")
        lines += [f"  {line}" for line in tree(self.answer)]
        return "\n".join(lines)


@dataclass
class Transcript:
    """All steps of one scenario at one broker."""

    scenario: str
    broker: str
    steps: list[Step] = field(default_factory=list)
    broken: str = ""
    """Why the script could not be carried on, if so."""

    def text(self) -> str:
        body = "\n\n".join(f"{number}. {step.text()}" for number, step in enumerate(self.steps, 1))
        end = f"\n\nended early: {self.broken}" if self.broken else ""
        return f"== {self.scenario} at {self.broker}\n\n{body}{end}\n"

    def as_json(self) -> dict[str, Any]:
        """For programs: the same as plain values."""
        steps = [
            {"step": s.heading, "note": s.note, "request": s.request, "answer": s.answer}
            for s in self.steps
        ]
        return {
            "scenario": self.scenario,
            "broker": self.broker,
            "steps": steps,
            "ended_early": self.broken,
        }


def one_line(value: Any) -> str:
    """Compact: `topics=[{name=orders}] timeout_ms=100`."""
    if isinstance(value, dict):
        return " ".join(f"{name}={_inline(item)}" for name, item in value.items()) or "{}"
    return _inline(value)


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + " ".join(f"{name}={_inline(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(item) for item in value) + "]"
    return value if isinstance(value, str) and value else json.dumps(value)


def tree(value: Any, indent: str = "") -> Iterator[str]:
    """Indented lines, a field each; items of a list begin with a dash."""
    if isinstance(value, dict):
        for name, item in value.items():
            if isinstance(item, dict | list) and item:
                yield f"{indent}{name}:"
                yield from tree(item, indent + "  ")
            else:
                yield f"{indent}{name}: {_inline(item)}"
    elif isinstance(value, list):
        for item in value:
            lines = list(tree(item))
            yield f"{indent}- {lines[0] if lines else '{}'}"
            yield from (f"{indent}  {line}" for line in lines[1:])
    else:
        yield f"{indent}{_inline(value)}"
