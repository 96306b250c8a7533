"""Writes the generated codecs from ``tools/messages.facts``.

    python -m tools.generate            # write them all, delete what is no longer generated
    python -m tools.generate --check    # write nothing, exit 1 if a file differs

Generated: one module for each API in ``tierbroker/wire/messages``, with an index of them, and
one module for each metadata or control record in ``tierbroker/controller/records``, likewise, and
one for each record of classic groups and their offsets in ``tierbroker/groups/records``, and one
for each record of transactional ids in ``tierbroker/transactions/records``.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tools.codegen.module import GENERATED, api_module, flexible_from, record_module
from tools.codegen.naming import snake_case
from tools.schema import TABLE, Message, parse_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ROOT = Path(__file__).resolve().parent.parent

CONTROL_RECORDS = (
    "EndTxnMarker",
    "KRaftVersionRecord",
    "LeaderChangeMessage",
    "SnapshotFooterRecord",
    "SnapshotHeaderRecord",
    "VotersRecord",
)

GROUP_RECORDS = ("OffsetCommitKey", "OffsetCommitValue", "GroupMetadataKey", "GroupMetadataValue")

TRANSACTION_RECORDS = ("TransactionLogKey", "TransactionLogValue")


@dataclass(frozen=True, slots=True)
class Target:
    """A folder whose generated modules come from one part of the table."""

    folder: str
    render: Callable[[list[Message]], dict[str, str]]  # file name -> text


def wire_messages(messages: list[Message]) -> dict[str, str]:
    """One module for each API, plus the index."""
    requests = {m.key: m for m in messages if m.kind == "request"}
    responses = {m.key: m for m in messages if m.kind == "response"}
    files = {}
    rows = []
    for key, request in sorted(requests.items(), key=lambda item: item[0] or 0):
        module = snake_case(request.name)
        files[f"{module}.py"] = api_module(request, responses[key])
        last_stable = request.versions.last - (1 if request.unstable else 0)
        listeners = "".join(f'"{name}", ' for name in request.listeners).rstrip()
        rows.append(
            f'    {key}: Api({key}, "{request.name}", "{module}", {request.versions.first}, '
            f"{last_stable}, {flexible_from(request)}, ({listeners})),"
        )
    text = f'''{GENERATED}
"""Every API: where its module is, its versions and who serves it. Loads no message module."""

from __future__ import annotations

from typing import NamedTuple


class Api(NamedTuple):
    """``last_version`` is the last stable one; ``listeners`` are Kafka's kinds of listener."""

    key: int
    name: str
    module: str
    first_version: int
    last_version: int
    flexible_from: int
    listeners: tuple[str, ...]


APIS: dict[int, Api] = {{
{chr(10).join(rows)}
}}
'''
    files["index.py"] = text
    return files


def controller_records(messages: list[Message]) -> dict[str, str]:
    """One module for each metadata and control record, plus the index of the metadata records."""
    metadata = [m for m in messages if m.kind == "metadata"]
    control = [m for m in messages if m.kind == "data" and m.name in CONTROL_RECORDS]
    files = {f"{snake_case(m.name)}.py": record_module(m) for m in (*metadata, *control)}
    rows = [f'    {m.key}: "{snake_case(m.name)}",' for m in metadata]
    files["index.py"] = "\n".join(
        [
            GENERATED,
            '"""The module of each metadata record by its id. Loads none of them."""',
            "",
            "MODULES: dict[int, str] = {",
            *rows,
            "}",
            "",
        ]
    )
    return files


def group_records(messages: list[Message]) -> dict[str, str]:
    """One module for each key and value that a classic group leaves in __consumer_offsets."""
    return {
        f"{snake_case(m.name)}.py": record_module(m) for m in messages if m.name in GROUP_RECORDS
    }


def transaction_records(messages: list[Message]) -> dict[str, str]:
    """One module for the key and one for the value of a record in __transaction_state."""
    return {
        f"{snake_case(m.name)}.py": record_module(m)
        for m in messages
        if m.name in TRANSACTION_RECORDS
    }


TARGETS = (
    Target("tierbroker/wire/messages", wire_messages),
    Target("tierbroker/controller/records", controller_records),
    Target("tierbroker/groups/records", group_records),
    Target("tierbroker/transactions/records", transaction_records),
)


def generated_files(root: Path, messages: list[Message]) -> dict[Path, str]:
    """Path -> text of everything that is generated."""
    return {
        root / target.folder / name: text
        for target in TARGETS
        for name, text in target.render(messages).items()
    }


def stale_files(root: Path, wanted: Iterable[Path]) -> list[Path]:
    """Files that say they are generated but no longer are."""
    keep = set(wanted)
    found = [path for target in TARGETS for path in (root / target.folder).glob("*.py")]
    return [path for path in found if path not in keep and path.read_text().startswith(GENERATED)]


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """The command line; answers the exit code."""
    parser = argparse.ArgumentParser(description="Write the generated codecs.")
    parser.add_argument("--check", action="store_true", help="only compare, exit 1 if different")
    options = parser.parse_args(arguments)
    files = generated_files(root, parse_table(TABLE.read_text()))
    stale = stale_files(root, files)
    changed = [p for p, text in files.items() if not p.exists() or p.read_text() != text]
    if options.check:
        for path in (*changed, *stale):
            print(f"{path.relative_to(root)} is not what the generator writes", file=sys.stderr)
        if changed or stale:
            print("run `python -m tools.generate`", file=sys.stderr)
        return 1 if changed or stale else 0
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[path])
    for path in stale:
        path.unlink()
    print(f"{len(files)} files, {len(changed)} written, {len(stale)} deleted")
    return 0


if __name__ == "__main__":
    sys.exit(main())
