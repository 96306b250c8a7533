"""`meta.properties`: which cluster, node and directory a log directory belongs to.

The format is Apache Kafka's version 1, a Java properties file. Pure: bytes in, bytes out.
"""

import re
from dataclasses import dataclass

from tierbroker.base.ids import ZERO_UUID, Uuid, parse_uuid, uuid_text

META_PROPERTIES_FILE = "meta.properties"
VERSION = "1"
_LAST_RESERVED_ID = 100
"""Kafka keeps the directory ids 0 to 99 for its own meanings (DirectoryId)."""

_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_PLAIN_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_KEY_END = re.compile(r"(?<!\\)(?:\\\\)*(\s*[=:]\s*|\s+)")


class InvalidMetaPropertiesError(Exception):
    """The file lacks a property or holds one that makes no sense; the message says which."""


@dataclass(frozen=True, slots=True)
class MetaProperties:
    """Identity of one log directory."""

    cluster_id: str
    node_id: int
    directory_id: Uuid | None
    """None in a directory written before Kafka 3.7; one is drawn then."""


def encode_meta_properties(properties: MetaProperties) -> bytes:
    """The file's content."""
    assert properties.directory_id is not None
    lines = {
        "cluster.id": properties.cluster_id,
        "directory.id": uuid_text(properties.directory_id),
        "node.id": str(properties.node_id),
        "version": VERSION,
    }
    text = "".join(f"{name}={_escaped(value)}\n" for name, value in lines.items())
    return text.encode("latin-1")


def decode_meta_properties(data: bytes) -> MetaProperties:
    """Read the file; raises InvalidMetaPropertiesError."""
    found = _parse_properties(data.decode("latin-1"))
    version = found.get("version")
    if version == "0":
        raise InvalidMetaPropertiesError(
            "it has version 0, from a Kafka broker that still used ZooKeeper; "
            "migrate that cluster to KRaft with Kafka 3.9 first"
        )
    if version != VERSION:
        raise InvalidMetaPropertiesError(f"version is {version!r}, expected {VERSION}")
    cluster_id = found.get("cluster.id")
    if not cluster_id:
        raise InvalidMetaPropertiesError("cluster.id is missing")
    node_id = found.get("node.id", "")
    if not (node_id.isascii() and node_id.isdigit()):
        raise InvalidMetaPropertiesError(f"node.id is {node_id!r}, expected a whole number")
    return MetaProperties(cluster_id, int(node_id), _directory_id(found.get("directory.id")))


def _directory_id(text: str | None) -> Uuid | None:
    if text is None:
        return None
    try:
        directory_id = parse_uuid(text)
    except ValueError as error:
        raise InvalidMetaPropertiesError(f"directory.id: {error}") from error
    if directory_id == ZERO_UUID or int.from_bytes(directory_id, "big") < _LAST_RESERVED_ID:
        raise InvalidMetaPropertiesError(f"directory.id {text} is a reserved one")
    return directory_id


def _parse_properties(text: str) -> dict[str, str]:
    """Java's format, but for values that go on in the next line, which Kafka never writes."""
    found: dict[str, str] = {}
    for raw in text.splitlines():
        line = raw.lstrip()
        if not line or line[0] in "#!":
            continue
        end = _KEY_END.search(line)
        key, value = (line[: end.start(1)], line[end.end(1) :]) if end else (line, "")
        found[_unescaped(key)] = _unescaped(value)
    return found


def _unescaped(text: str) -> str:
    def character(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if len(code) > 1 else _PLAIN_ESCAPES.get(code, code)

    return _ESCAPE.sub(character, text)


def _escaped(text: str) -> str:
    return re.sub(r"([\\=:#!])", r"\\\1", text)
