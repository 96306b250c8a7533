"""The scenarios by name: `area.function`, found in `integration/scenarios/`."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from integration import scenarios as package
from integration.differential.script import Run


@dataclass(frozen=True, slots=True)
class Scenario:
    """One script."""

    name: str
    """`area.function`."""
    summary: str
    body: Callable[[Run], Iterator[None] | None]

    @property
    def restarts(self) -> bool:
        """Whether the script yields, which is where the brokers are restarted."""
        return inspect.isgeneratorfunction(self.body)


def load_scenarios() -> list[Scenario]:
    """All of them, in the order of their areas and of the source.

    A scenario is a public function of a module of the package whose only parameter is `run`.
    """
    found = []
    for module_info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{package.__name__}.{module_info.name}")
        for name, body in vars(module).items():
            if inspect.isfunction(body) and _is_scenario(name, body, module.__name__):
                summary = inspect.getdoc(body) or ""
                assert summary, f"{module_info.name}.{name}: say in a docstring what it shows"
                found.append(Scenario(f"{module_info.name}.{name}", summary, body))
    return found


def _is_scenario(name: str, body: Callable[..., None], module: str) -> bool:
    parameters = list(inspect.signature(body).parameters)
    return not name.startswith("_") and body.__module__ == module and parameters == ["run"]


def chosen(scenarios: Sequence[Scenario], patterns: Sequence[str]) -> list[Scenario]:
    """Those that match one of the patterns: a name, an area, or a pattern with `*`.

    LookupError when a pattern matches none; no pattern means all.
    """
    if not patterns:
        return list(scenarios)
    for pattern in patterns:
        if not any(_matches(scenario, pattern) for scenario in scenarios):
            raise LookupError(f"no scenario {pattern!r}; --list shows them")
    return [s for s in scenarios if any(_matches(s, pattern) for pattern in patterns)]


def _matches(scenario: Scenario, pattern: str) -> bool:
    area = scenario.name.partition(".")[0]
    return pattern == area or fnmatchcase(scenario.name, pattern)
