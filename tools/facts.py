"""Writes ``tools/messages.facts`` from the message descriptors in Kafka's Maven artefacts.

    python -m tools.facts             # rewrite the table
    python -m tools.facts --check     # fail if the table differs from the artefacts

Only facts are taken over (names, types, versions, nullability, defaults, tags); descriptions,
comments and layout of the descriptors are left behind. Needs Maven only when an artefact is not
in the local Maven repository yet. Run it when moving to another Kafka release; the build itself
needs only the table.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.schema import (
    NO_VERSIONS,
    TABLE,
    Field,
    Message,
    SharedStruct,
    Versions,
    format_table,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

KAFKA_VERSION = "4.3.0"
GROUP = "org.apache.kafka"

# artefact -> (folder of its descriptors, names to take; empty = all)
ARTEFACTS: dict[str, str] = {
    "kafka-clients": "common/message/",
    "kafka-metadata": "common/metadata/",
    "kafka-group-coordinator": "common/message/",
    "kafka-transaction-coordinator": "common/message/",
}

_KIND_ORDER = {"header": 0, "request": 1, "response": 2}
_LINE_COMMENT = re.compile(r"^\s*//.*$", re.MULTILINE)

HEADER = (
    "Facts about the messages of Apache Kafka, in tierbroker's own format (see tools/schema.py).",
    "Written by `python -m tools.facts`; do not edit.",
)


def jar_path(artefact: str, version: str = KAFKA_VERSION) -> Path:
    """The artefact's jar in the local Maven repository; fetched by Maven if it is missing."""
    repository = Path.home() / ".m2" / "repository" / Path(*GROUP.split("."))
    jar = repository / artefact / version / f"{artefact}-{version}.jar"
    if not jar.exists():
        coordinates = f"-Dartifact={GROUP}:{artefact}:{version}"
        command = ["mvn", "-q", "dependency:get", coordinates, "-Dtransitive=false"]
        subprocess.run(command, check=True)
    return jar


def read_descriptors(jar: Path, folder: str) -> Iterator[dict[str, Any]]:
    """Every message descriptor under ``folder`` of the jar, by name of file."""
    with zipfile.ZipFile(jar) as archive:
        for name in sorted(archive.namelist()):
            if name.startswith(folder) and name.endswith(".json"):
                text = archive.read(name).decode()
                yield json.loads(_LINE_COMMENT.sub("", text))


def message_of(descriptor: dict[str, Any], source: str) -> Message:
    """The facts of one descriptor."""
    kind = descriptor["type"]
    name = descriptor["name"]
    if kind in ("request", "response"):
        name = name.removesuffix(kind.capitalize())
    return Message(
        kind=kind,
        name=name,
        versions=Versions.parse(descriptor["validVersions"]),
        flexible=Versions.parse(descriptor.get("flexibleVersions", "none")),
        fields=tuple(_field_of(item) for item in descriptor.get("fields", ())),
        key=descriptor.get("apiKey"),
        listeners=tuple(descriptor.get("listeners", ())),
        unstable=bool(descriptor.get("latestVersionUnstable", False)),
        structs=tuple(
            SharedStruct(
                struct["name"],
                Versions.parse(struct["versions"]),
                tuple(_field_of(item) for item in struct["fields"]),
            )
            for struct in descriptor.get("commonStructs", ())
        ),
        source=source,
    )


def _field_of(item: dict[str, Any]) -> Field:
    flexible = item.get("flexibleVersions")
    tagged = Versions.parse(item.get("taggedVersions", "none"))
    # A field that names no versions has those of its tag.
    versions = Versions.parse(item["versions"]) if "versions" in item else tagged
    return Field(
        name=item["name"],
        type=item["type"],
        versions=versions,
        nullable=Versions.parse(item.get("nullableVersions", "none")),
        tagged=tagged,
        tag=item.get("tag"),
        default=_default_of(item),
        ignorable=_truth(item.get("ignorable", False)),
        flexible=None if flexible is None else Versions.parse(flexible),
        fields=tuple(_field_of(inner) for inner in item.get("fields", ())),
    )


def _truth(value: bool | str) -> bool:
    return value is True or value == "true"


def _default_of(item: dict[str, Any]) -> str | None:
    """The default as the table spells it; None where it is the type's own default."""
    if "default" not in item:
        return None
    value = item["default"]
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    if item["type"] in ("string", "bytes", "records", "uuid"):
        if text not in ("", "null"):
            raise ValueError(f"{item['name']}: default {text!r} of a {item['type']}")
        return text or None
    if text in ("null", "true", "false"):
        return text
    return str(int(text, 0))


def collect() -> list[Message]:
    """Every message of every artefact; removed APIs (no valid version) are left out."""
    messages: list[Message] = []
    for artefact, folder in ARTEFACTS.items():
        source = f"{artefact} {KAFKA_VERSION}"
        found = [message_of(d, source) for d in read_descriptors(jar_path(artefact), folder)]
        found = [message for message in found if message.versions != NO_VERSIONS]
        found.sort(
            key=lambda m: (
                -1 if m.key is None else m.key,
                _KIND_ORDER.get(m.kind, 3),
                m.name,
            )
        )
        messages += found
    return messages


def main(arguments: list[str] | None = None) -> int:
    """The command line; answers the exit code."""
    parser = argparse.ArgumentParser(description="Write the table of message facts.")
    parser.add_argument("--check", action="store_true", help="only compare, exit 1 if different")
    options = parser.parse_args(arguments)
    text = format_table(collect(), HEADER)
    if options.check:
        if TABLE.read_text() == text:
            return 0
        print(f"{TABLE} differs from the artefacts: run `python -m tools.facts`", file=sys.stderr)
        return 1
    TABLE.write_text(text)
    print(f"{TABLE}: {len(text.splitlines())} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
