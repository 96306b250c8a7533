"""The table of message facts: its data model, its text format, reading and writing it.

The table (``tools/messages.facts``) is the one source of every generated codec. It is a plain
text file of our own: one line a message, one indented line a field, nothing but facts (names,
types, versions, nullability, defaults, tags). This module must never look at anything else.

Format, by example::

    source kafka-clients 4.3.0
    request Metadata key=3 versions=0-13 flexible=9+ listeners=broker
      Topics []MetadataRequestTopic 0+ null=1+
        TopicId uuid 10+ ignorable
        Name string 0+ null=10+
    data VotersRecord versions=0 flexible=0+
    ...
      struct Voter 0+             a struct that several fields of the message share
        VoterId int32 0+
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TABLE = Path(__file__).with_name("messages.facts")

MESSAGE_KINDS = (
    "request",
    "response",
    "header",
    "data",
    "metadata",
    "coordinator-key",
    "coordinator-value",
)

PRIMITIVES = frozenset(
    (
        *("bool", "int8", "int16", "uint16", "int32", "uint32", "int64", "float64"),
        *("string", "uuid", "bytes", "records"),
    )
)

_FOREVER = 1 << 15


@dataclass(frozen=True, slots=True)
class Versions:
    """A closed range of versions; ``last < first`` is the empty range."""

    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> Versions:
        """``"none"``, ``"3"``, ``"3-7"`` or ``"3+"``; ValueError for anything else."""
        if text == "none":
            return NO_VERSIONS
        if text.endswith("+"):
            return cls(int(text[:-1]), _FOREVER)
        first, dash, last = text.partition("-")
        return cls(int(first), int(last) if dash else int(first))

    def __str__(self) -> str:
        if self.last < self.first:
            return "none"
        if self.last == _FOREVER:
            return f"{self.first}+"
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    def __contains__(self, version: int) -> bool:
        return self.first <= version <= self.last

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.last + 1))


NO_VERSIONS = Versions(0, -1)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message or struct; ``fields`` only where the struct is defined inline."""

    name: str
    type: str
    versions: Versions
    nullable: Versions = NO_VERSIONS
    tagged: Versions = NO_VERSIONS
    tag: int | None = None
    default: str | None = None
    ignorable: bool = False
    flexible: Versions | None = None
    fields: tuple[Field, ...] = ()

    @property
    def is_array(self) -> bool:
        return self.type.startswith("[]")

    @property
    def element_type(self) -> str:
        return self.type.removeprefix("[]")

    @property
    def is_struct(self) -> bool:
        """Of the type itself, or of the elements of an array."""
        return self.element_type not in PRIMITIVES


@dataclass(frozen=True, slots=True)
class SharedStruct:
    """A struct that several fields of one message use by name."""

    name: str
    versions: Versions
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """One message: request, response, header, record or bare data."""

    kind: str
    name: str
    versions: Versions
    flexible: Versions
    fields: tuple[Field, ...]
    key: int | None = None
    listeners: tuple[str, ...] = ()
    unstable: bool = False
    structs: tuple[SharedStruct, ...] = ()
    source: str = field(default="", compare=False)


class FactsError(ValueError):
    """The table is malformed; the message names the line."""


def format_table(messages: Iterable[Message], header: Iterable[str] = ()) -> str:
    """The whole table as text; messages keep their order, a ``source`` line opens each source."""
    lines = [f"# {line}" for line in header]
    source = None
    for message in messages:
        if message.source != source:
            source = message.source
            lines.append(f"source {source}")
        lines.append(_message_line(message))
        lines.extend(_field_lines(message.fields, 1))
        for struct in message.structs:
            lines.append(f"  struct {struct.name} {struct.versions}")
            lines.extend(_field_lines(struct.fields, 2))
    return "\n".join(lines) + "\n"


def _message_line(message: Message) -> str:
    words = [message.kind, message.name]
    if message.key is not None:
        words.append(f"key={message.key}")
    words.append(f"versions={message.versions}")
    words.append(f"flexible={message.flexible}")
    if message.listeners:
        words.append(f"listeners={','.join(message.listeners)}")
    if message.unstable:
        words.append("unstable")
    return " ".join(words)


def _field_lines(fields: Iterable[Field], depth: int) -> Iterator[str]:
    for item in fields:
        words = [item.name, item.type, str(item.versions)]
        if item.nullable != NO_VERSIONS:
            words.append(f"null={item.nullable}")
        if item.tag is not None:
            words.append(f"tag={item.tag}@{item.tagged}")
        if item.default is not None:
            words.append(f"default={item.default}")
        if item.ignorable:
            words.append("ignorable")
        if item.flexible is not None:
            words.append(f"flexible={item.flexible}")
        yield "  " * depth + " ".join(words)
        yield from _field_lines(item.fields, depth + 1)


def parse_table(text: str) -> list[Message]:
    """Raises FactsError naming the line that does not fit the format."""
    lines: list[tuple[int, int, list[str]]] = []
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            indent = len(line) - len(line.lstrip())
            lines.append((number, indent // 2, stripped.split()))
    messages = []
    source = ""
    position = 0
    while position < len(lines):
        number, depth, words = lines[position]
        if depth != 0:
            raise FactsError(f"line {number}: a field outside any message")
        position += 1
        if words[0] == "source":
            source = " ".join(words[1:])
            continue
        try:
            fields, structs, position = _parse_body(lines, position)
            messages.append(_parse_message(words, fields, structs, source))
        except (ValueError, IndexError) as error:
            raise FactsError(f"line {number}: {error}") from error
    return messages


_Lines = list[tuple[int, int, list[str]]]


def _parse_body(
    lines: _Lines, position: int
) -> tuple[tuple[Field, ...], tuple[SharedStruct, ...], int]:
    structs = []
    fields, position = _parse_fields(lines, position, 1)
    while position < len(lines) and lines[position][1] == 1:
        words = lines[position][2]
        inner, position = _parse_fields(lines, position + 1, 2)
        structs.append(SharedStruct(words[1], Versions.parse(words[2]), inner))
    return fields, tuple(structs), position


def _parse_fields(lines: _Lines, position: int, depth: int) -> tuple[tuple[Field, ...], int]:
    fields = []
    while position < len(lines) and lines[position][1] == depth:
        words = lines[position][2]
        if words[0] == "struct":
            break
        inner, position = _parse_fields(lines, position + 1, depth + 1)
        fields.append(_parse_field(words, inner))
    return tuple(fields), position


def _parse_field(words: list[str], inner: tuple[Field, ...]) -> Field:
    values = _options(words[3:])
    tag, _, tagged = values.pop("tag", "").partition("@")
    flexible = values.pop("flexible", None)
    item = Field(
        name=words[0],
        type=words[1],
        versions=Versions.parse(words[2]),
        nullable=Versions.parse(values.pop("null", "none")),
        tagged=Versions.parse(tagged) if tag else NO_VERSIONS,
        tag=int(tag) if tag else None,
        default=values.pop("default", None),
        ignorable=values.pop("ignorable", "no") == "",
        flexible=None if flexible is None else Versions.parse(flexible),
        fields=inner,
    )
    if values:
        raise ValueError(f"unknown option {next(iter(values))!r} of field {item.name}")
    return item


def _parse_message(
    words: list[str], fields: tuple[Field, ...], structs: tuple[SharedStruct, ...], source: str
) -> Message:
    if words[0] not in MESSAGE_KINDS:
        raise ValueError(f"unknown kind of message {words[0]!r}")
    values = _options(words[2:])
    key = values.pop("key", None)
    listeners = values.pop("listeners", "")
    message = Message(
        kind=words[0],
        name=words[1],
        versions=Versions.parse(values.pop("versions")),
        flexible=Versions.parse(values.pop("flexible")),
        fields=fields,
        key=None if key is None else int(key),
        listeners=tuple(listeners.split(",")) if listeners else (),
        unstable=values.pop("unstable", "no") == "",
        structs=structs,
        source=source,
    )
    if values:
        raise ValueError(f"unknown option {next(iter(values))!r} of message {message.name}")
    return message


def _options(words: list[str]) -> dict[str, str]:
    pairs = [word.partition("=") for word in words]
    return {name: value for name, _, value in pairs}
