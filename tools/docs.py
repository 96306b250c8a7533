"""Writes the reference pages that the code already knows: APIs, configuration, metrics.

    python -m tools.docs [--check]

Nothing is written by hand there, so the pages cannot lag behind. A page says what its source
says: the registry and the header of each handler, the declaration of each key and metric.
"""

import argparse
import ast
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from tierbroker.base.config import ConfigKey, ConfigType, Scope
from tierbroker.broker.api import ApiSpec
from tierbroker.broker.registry import SPECS
from tierbroker.node.metrics import METRICS
from tierbroker.node.settings import SCHEMA
from tierbroker.replication.metrics import DETAILS
from tierbroker.wire.messages.index import APIS

ROOT = Path(__file__).resolve().parents[1]
HANDLERS = Path("tierbroker/broker/handlers")
GENERATED = "<!-- Written by `make docs`; change the source instead. -->\n"


def apis_page(root: Path) -> str:
    """Every API that is answered, with the header of its handler, and those that are not."""
    rows = sorted(SPECS, key=lambda spec: spec.key)
    lines = [
        "# APIs",
        "",
        GENERATED,
        "Versions are those that ApiVersions advertises. Kafka's are of release 4.3.",
        "",
        "| key | name | versions | Kafka's |",
        "|---:|---|---|---|",
    ]
    lines += [
        f"| {int(spec.key)} | [{_name(spec)}](#{_name(spec).lower()}) "
        f"| {_span(spec.min_version, spec.max_version)} | {_kafkas_span(spec)} |"
        for spec in rows
    ]
    answered = {int(spec.key) for spec in SPECS}
    missing = [
        f"{api.name} ({key})"
        for key, api in sorted(APIS.items())
        if key not in answered and "broker" in api.listeners
    ]
    lines += ["", f"Not answered: {', '.join(missing)}."]
    for spec in rows:
        source = HANDLERS / f"{spec.module}.py"
        lines += ["", f"## {_name(spec)}", "", f"`{source}`", "", _header(root / source)]
    return "\n".join(lines) + "\n"


def _name(spec: ApiSpec) -> str:
    return APIS[int(spec.key)].name


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}–{last}"


def _kafkas_span(spec: ApiSpec) -> str:
    api = APIS[int(spec.key)]
    return _span(api.first_version, api.last_version)


def _header(source: Path) -> str:
    """The docstring of a handler; a paragraph of it is one line of the page."""
    text = ast.get_docstring(ast.parse(source.read_text(), str(source)))
    assert text, f"{source} has no header"
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def configs_page() -> str:
    """Every configuration key, by scope."""
    lines = [
        "# Configuration",
        "",
        GENERATED,
        "A broker setting is given as `--set key=value`, as `TIERBROKER_KEY_WITH_UNDERSCORES` in",
        "the environment or in a TOML file; a flag comes before the environment, that before the",
        "file, that before the default. A topic takes its settings when it is created, else those",
        "of the broker setting named with it. An unknown key is an error that names the nearest",
        "known one.",
    ]
    for scope, title in ((Scope.BROKER, "Broker settings"), (Scope.TOPIC, "Topic settings")):
        lines += ["", f"## {title}", ""]
        lines += _config_table(sorted(SCHEMA.keys(scope), key=lambda key: key.name), scope)
    return "\n".join(lines) + "\n"


def _config_table(keys: Iterable[ConfigKey], scope: Scope) -> list[str]:
    of_topic = scope is Scope.TOPIC
    rows = [f"| key | type | default |{' broker setting |' if of_topic else ''} meaning |"]
    rows.append(f"|---|---|---|{'---|' if of_topic else ''}---|")
    for key in keys:
        synonym = f" {_code(key.synonym)} |" if of_topic else ""
        kind = ConfigType(key.type).name.lower()
        doc = " ".join(key.doc.split()).replace("|", "\\|")
        rows.append(f"| `{key.name}` | {kind} | {_code(key.default)} |{synonym} {doc} |")
    return rows


def _code(text: str | None) -> str:
    if text is None:
        return "–"
    return f"`{text}`" if text else "(empty)"


def metrics_page() -> str:
    """Every metric, by what it is about."""
    lines = [
        "# Metrics",
        "",
        GENERATED,
        "`GET /metrics` at the broker's `http.listener`, in Prometheus's text format or as",
        "OpenMetrics. How to scrape it: [operations.md](operations.md). Counters begin at 0 with",
        "each start. Those marked † come with `/metrics?detail=partition` alone: there is one of",
        "each for every partition. Those of the cold tier come from brokers that have one. Memory,",
        "CPU and open files are there as `process_*`, as with other programs.",
    ]
    for title, metrics in METRICS:
        lines += [
            "",
            f"## {title}",
            "",
            "| metric | type | labels | meaning |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| `{metric.name}`{' †' if metric in DETAILS else ''} | {metric.kind} "
            f"| {', '.join(f'`{label}`' for label in metric.labels)} | {metric.doc} |"
            for metric in metrics
        ]
    return "\n".join(lines) + "\n"


PAGES: dict[str, Callable[[Path], str]] = {
    "docs/apis.md": apis_page,
    "docs/configs.md": lambda _: configs_page(),
    "docs/metrics.md": lambda _: metrics_page(),
}


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """The command line; answers the exit code."""
    parser = argparse.ArgumentParser(description="Write the generated reference pages.")
    parser.add_argument("--check", action="store_true", help="only compare, exit 1 if different")
    options = parser.parse_args(arguments)
    changed = [
        (root / name, text)
        for name, render in PAGES.items()
        if (text := render(ROOT)) != _text_of(root / name)
    ]
    for path, text in changed:
        if options.check:
            print(f"{path.relative_to(root)} is out of date: run `make docs`", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return 1 if options.check and changed else 0


def _text_of(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
