"""The pattern of ListTransactions (version 2): a regular expression that costs linear time.

Whoever may list transactions sends the pattern, so it must not hold the loop. Python's `re` tries
one way after another and may take for ever; here all ways are followed at once, and their number
is bounded. The syntax is the common part of RE2, which Kafka uses: literals, `.`, classes, groups,
`|`, `* + ?`, `{m,n}`, `\\d \\w \\s` and their opposites, `^` and `$`. What is not understood is
refused. A pattern must match the whole id.
"""

from collections.abc import Callable, Sequence

from tierbroker.transactions.id_pattern_syntax import Node, PatternError, parse

STATES_MAX = 1_000
"""Longest compiled pattern; counted repetition multiplies."""
REMEMBERED_MAX = 4_096
"""Steps from one set of states to the next that are kept."""

_START, _END = "start", "end"


class IdPattern:
    """A compiled pattern. Raises PatternError if it is wrong, too large or not understood."""

    def __init__(self, pattern: str) -> None:
        # State 0 is the one to reach. A state either accepts a character, or is at the start or
        # the end of the text, or is free; then it leads on to all in its row of `_leads`.
        self._accepts: list[Callable[[str], bool] | None] = [None]
        self._where: list[str] = [""]
        self._leads: list[tuple[int, ...]] = [()]
        first = self._emit(parse(pattern), 0)
        self._begin = self._spread([first], at_start=True)
        self._steps: dict[tuple[frozenset[int], str], frozenset[int]] = {}

    def matches(self, text: str) -> bool:
        """Whether the pattern matches all of the text."""
        states, steps = self._begin, self._steps
        for character in text:
            known = steps.get((states, character))
            if known is None:
                if len(steps) >= REMEMBERED_MAX:
                    steps.clear()
                known = steps[states, character] = self._step(states, character)
            if not known:
                return False
            states = known
        return 0 in self._spread(states, at_start=not text, at_end=True)

    def _step(self, states: frozenset[int], character: str) -> frozenset[int]:
        reached: list[int] = []
        for state in states:
            accepts = self._accepts[state]
            if accepts is not None and accepts(character):
                reached += self._leads[state]
        return self._spread(reached)

    def _spread(
        self,
        states: Sequence[int] | frozenset[int],
        *,
        at_start: bool = False,
        at_end: bool = False,
    ) -> frozenset[int]:
        """The states, and all that are reached from them without a character."""
        found = set(states)
        todo = list(found)
        while todo:
            state = todo.pop()
            where = self._where[state]
            if self._accepts[state] is not None:
                continue
            if (where == _START and not at_start) or (where == _END and not at_end):
                continue
            new = set(self._leads[state]) - found
            found |= new
            todo += new
        return frozenset(found)

    def _state(
        self, *leads: int, accepts: Callable[[str], bool] | None = None, where: str = ""
    ) -> int:
        if len(self._leads) >= STATES_MAX:
            raise PatternError(f"the pattern has more than {STATES_MAX} parts")
        self._accepts.append(accepts)
        self._where.append(where)
        self._leads.append(leads)
        return len(self._leads) - 1

    def _emit(self, node: Node, then: int) -> int:
        """The state that begins the node and leads to `then` behind it."""
        match node.kind:
            case "one":
                return self._state(then, accepts=node.accepts)
            case "start" | "end":
                return self._state(then, where=node.kind)
            case "all":
                for part in reversed(node.parts):
                    then = self._emit(part, then)
                return then
            case "any":
                return self._state(*[self._emit(part, then) for part in node.parts])
        assert node.kind == "repeat"
        (part,) = node.parts
        if node.most is None:
            loop = self._state()
            self._leads[loop] = (self._emit(part, loop), then)
            then = loop
        else:
            end = then
            for _ in range(node.most - node.least):
                then = self._state(self._emit(part, then), end)
        for _ in range(node.least):
            then = self._emit(part, then)
        return then
