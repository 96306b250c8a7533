"""Reads the text of an id pattern into its parts. See `id_pattern` for what is understood."""

import re
from collections.abc import Callable
from dataclasses import dataclass

NESTING_MAX = 50
REPEAT_MAX = 1_000
"""As in RE2."""

Accepts = Callable[[str], bool]

_COUNTED = re.compile(r"\{(\d{1,4})(,(\d{0,4}))?\}")
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v"}
_DIGITS = frozenset("0123456789")
_SPACES = frozenset("\t\n\f\r ")
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_CLASSES: dict[str, Accepts] = {
    "d": _DIGITS.__contains__,
    "s": _SPACES.__contains__,
    "w": (_DIGITS | _LETTERS | {"_"}).__contains__,
}


class PatternError(ValueError):
    """The pattern is wrong, too large, or not understood."""


@dataclass(frozen=True, slots=True)
class Node:
    """A part of a pattern. `kind`: one (character), all, any, repeat, start or end."""

    kind: str
    accepts: Accepts | None = None
    parts: "tuple[Node, ...]" = ()
    least: int = 0
    most: int | None = None


def parse(pattern: str) -> Node:
    """The parts of a pattern; raises PatternError."""
    parser = _Parser(pattern)
    node = parser.alternatives(0)
    if parser.rest:
        raise PatternError(f"{parser.rest!r} without a beginning")
    return node


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    @property
    def rest(self) -> str:
        """What has not been read."""
        return self._pattern[self._at :]

    def alternatives(self, depth: int) -> Node:
        """Sequences with | between them."""
        if depth > NESTING_MAX:
            raise PatternError(f"groups are nested more than {NESTING_MAX} deep")
        parts = [self._sequence(depth)]
        while self._take("|"):
            parts.append(self._sequence(depth))
        return parts[0] if len(parts) == 1 else Node("any", parts=tuple(parts))

    def _sequence(self, depth: int) -> Node:
        parts: list[Node] = []
        while self._next() not in ("", "|", ")"):
            parts.append(self._repeated(self._item(depth)))
        return Node("all", parts=tuple(parts))

    def _repeated(self, item: Node) -> Node:
        bounds = self._bounds()
        if bounds is None:
            return item
        self._take("?")  # fewest first: the same texts match
        if self._next() in ("*", "+", "?") or _COUNTED.match(self._pattern, self._at):
            raise PatternError("a repetition of a repetition")
        least, most = bounds
        return Node("repeat", parts=(item,), least=least, most=most)

    def _bounds(self) -> tuple[int, int | None] | None:
        if self._take("*"):
            return 0, None
        if self._take("+"):
            return 1, None
        if self._take("?"):
            return 0, 1
        counted = _COUNTED.match(self._pattern, self._at)
        if counted is None:
            return None
        self._at = counted.end()
        least = int(counted[1])
        most = least
        if counted[2]:
            unbounded = not counted[3]
            most = max(least, 1) if unbounded else int(counted[3])
        if not least <= most <= REPEAT_MAX:
            raise PatternError(f"{counted[0]!r} repeats too often, or never")
        return least, None if counted[2] and not counted[3] else most

    def _item(self, depth: int) -> Node:
        character = self._pop()
        match character:
            case "(":
                if self._take("?") and not self._take(":"):
                    raise PatternError("groups with options are not understood")
                node = self.alternatives(depth + 1)
                if not self._take(")"):
                    raise PatternError("a group without an end")
                return node
            case "[":
                return Node("one", self._class())
            case ".":
                return Node("one", lambda read: read != "\n")
            case "^":
                return Node("start")
            case "$":
                return Node("end")
            case "\\":
                return Node("one", self._escaped())
            case "*" | "+" | "?":
                raise PatternError(f"{character!r} repeats nothing")
        return Node("one", character.__eq__)

    def _escaped(self) -> Accepts:
        character = self._pop()
        accepts = _CLASSES.get(character.lower())
        if accepts is not None:
            return accepts if character.islower() else _opposite(accepts)
        return self._literal(character).__eq__

    def _literal(self, character: str) -> str:
        if character in _CONTROLS:
            return _CONTROLS[character]
        if character in _LETTERS or character in _DIGITS:
            raise PatternError(f"\\{character} is not understood")
        return character

    def _class(self) -> Accepts:
        negated = self._take("^")
        accepted: list[Accepts] = []
        is_first = True
        while is_first or self._next() != "]":
            accepted.append(self._class_item())
            is_first = False
        self._pop()
        choices = tuple(accepted)

        def accepts(read: str) -> bool:
            return any(choice(read) for choice in choices) is not negated

        return accepts

    def _class_item(self) -> Accepts:
        low = self._pop()
        if low == "[" and self._next() == ":":
            raise PatternError("named classes are not understood")
        if low == "\\":
            if self._next().lower() in _CLASSES:
                return self._escaped()
            low = self._literal(self._pop())
        if self._next() != "-" or self.rest[1:2] in ("]", ""):
            return low.__eq__
        self._pop()
        high = self._pop()
        if high == "\\":
            high = self._literal(self._pop())
        if high < low:
            raise PatternError(f"{low}-{high} is no range")
        return lambda read: low <= read <= high

    def _next(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _pop(self) -> str:
        character = self._next()
        if not character:
            raise PatternError("the pattern ends too early")
        self._at += 1
        return character

    def _take(self, character: str) -> bool:
        taken = self._next() == character
        self._at += taken
        return taken


def _opposite(accepts: Accepts) -> Accepts:
    return lambda read: not accepts(read)
