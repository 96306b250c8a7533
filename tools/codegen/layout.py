"""What the generators need to know of a message: its structs by name, and per version the layout.

A *code* is one character for a fixed-size value: those of ``struct`` plus ``u`` for a uuid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.codegen.naming import snake_case

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tools.schema import Field, Message

FIXED: Mapping[str, tuple[str, int]] = {
    "bool": ("?", 1),
    "int8": ("b", 1),
    "int16": ("h", 2),
    "uint16": ("H", 2),
    "int32": ("i", 4),
    "uint32": ("I", 4),
    "int64": ("q", 8),
    "float64": ("d", 8),
    "uuid": ("u", 16),
}

_TYPES: Mapping[str, str] = {
    "bool": "bool",
    "float64": "float",
    "string": "str",
    "uuid": "Uuid",
    "bytes": "Blob",
    "records": "Blob",
}


@dataclass(frozen=True, slots=True)
class Struct:
    """One class to generate: the message itself or a nested struct."""

    name: str
    fields: tuple[Field, ...]
    keeps_unknown_tags: bool = False
    key: int | None = None  # becomes the class attribute API_KEY


@dataclass(frozen=True, slots=True)
class Layout:
    """A message with its structs resolved to the class names they get."""

    message: Message
    structs: Mapping[str, Struct]  # by class name, nested ones first, the message last
    class_names: Mapping[str, str]  # Kafka's struct name -> class name
    copies_bytes: bool

    @property
    def root(self) -> Struct:
        return list(self.structs.values())[-1]

    def struct_of(self, field: Field) -> Struct:
        return self.structs[self.class_names[field.element_type]]

    def is_flexible(self, version: int) -> bool:
        return version in self.message.flexible


def resolve(
    message: Message,
    class_name: str,
    *,
    renamed: Mapping[str, str],
    keeps_unknown_tags: bool = False,
    copies_bytes: bool = False,
) -> Layout:
    """``renamed`` maps Kafka's struct names to class names where two messages share a module."""
    found: dict[str, tuple[Field, ...]] = {}

    def visit(fields: tuple[Field, ...]) -> None:
        for field in fields:
            if field.flexible is not None:
                raise ValueError(f"{message.name}.{field.name}: own flexible versions")
            if field.fields:
                visit(field.fields)
                if found.setdefault(field.element_type, field.fields) != field.fields:
                    raise ValueError(f"{message.name}: two structs {field.element_type}")

    shared = {struct.name: struct.fields for struct in message.structs}
    pending = dict(shared)
    while pending:  # a shared struct may use another one: define the used one first
        for name, fields in list(pending.items()):
            used = {f.element_type for f in _all_fields(fields)} & (pending.keys() - {name})
            if not used:
                visit(fields)
                found[name] = pending.pop(name)
    visit(message.fields)
    names = {name: renamed.get(name, name) for name in found}
    structs = {names[name]: Struct(names[name], fields) for name, fields in found.items()}
    key = message.key if message.kind == "metadata" else None
    structs[class_name] = Struct(class_name, message.fields, keeps_unknown_tags, key)
    return Layout(message, structs, names, copies_bytes)


def _all_fields(fields: tuple[Field, ...]) -> list[Field]:
    return [inner for field in fields for inner in (field, *_all_fields(field.fields))]


def struct_names(message: Message) -> set[str]:
    """Kafka's names of every struct of the message."""
    nested = {f.element_type for f in _all_fields(message.fields) if f.fields}
    return nested | {struct.name for struct in message.structs}


def is_tagged(field: Field, version: int) -> bool:
    """Whether the field is a tagged one in that version."""
    return version in field.tagged and version in field.versions


def plain_fields(struct: Struct, version: int) -> list[Field]:
    """The fields on the wire in that version, in order, without the tagged ones."""
    return [f for f in struct.fields if version in f.versions and not is_tagged(f, version)]


def tagged_fields(struct: Struct, version: int) -> list[Field]:
    """The tagged fields of that version in ascending order of tag."""
    found = [f for f in struct.fields if is_tagged(f, version)]
    return sorted(found, key=lambda f: f.tag or 0)


def absent_fields(struct: Struct, version: int) -> list[Field]:
    """Fields that version cannot carry and whose loss must be an error."""
    return [f for f in struct.fields if version not in f.versions and not f.ignorable]


def is_nullable(field: Field, version: int) -> bool:
    """Whether the field may be null in that version."""
    return version in field.nullable


def attribute(field: Field) -> str:
    """The name of the field's attribute."""
    return snake_case(field.name)


def minimum_size(layout: Layout, type_name: str, version: int, *, nullable: bool = False) -> int:
    """The least number of bytes a value of that type takes in that version."""
    flexible = layout.is_flexible(version)
    if type_name in FIXED:
        return FIXED[type_name][1]
    if type_name == "string":
        return 1 if flexible else 2
    if type_name in ("bytes", "records") or type_name.startswith("[]"):
        return 1 if flexible else 4
    if nullable:
        return 1
    fields = plain_fields(layout.structs[layout.class_names[type_name]], version)
    sizes = [
        minimum_size(layout, f.type, version, nullable=is_nullable(f, version)) for f in fields
    ]
    return sum(sizes) + (1 if flexible else 0)


def fixed_codes(layout: Layout, struct: Struct, version: int) -> str | None:
    """The codes of a struct that is nothing but fixed-size fields in that version, else None."""
    if tagged_fields(struct, version) or struct.keeps_unknown_tags:
        return None
    fields = plain_fields(struct, version)
    if not fields or any(f.type not in FIXED for f in fields):
        return None
    return "".join(FIXED[f.type][0] for f in fields)


def may_be_missing(field: Field) -> bool:
    """A tagged struct: None stands for "not sent", which the wire cannot tell from its default.

    It saves an object for each partition of a Produce or Fetch answer.
    """
    if not field.is_struct or field.is_array or field.tag is None:
        return False
    if field.tagged.first > field.versions.first or field.tagged.last < field.versions.last:
        raise ValueError(f"{field.name}: tagged in some versions only")
    return True


def annotation(layout: Layout, field: Field) -> str:
    """The field's type for the type checker."""
    name = field.element_type
    if name in layout.class_names:
        text = layout.class_names[name]
    elif name in ("bytes", "records") and layout.copies_bytes:
        text = "bytes"
    elif name == "records" and layout.message.kind == "response":
        text = "Part"  # may be a slice of a file
    else:
        text = _TYPES.get(name, "int")
    if field.is_array:
        text = f"list[{text}]"
    ever_null = field.nullable.last >= field.nullable.first
    return f"{text} | None" if ever_null or default_expression(layout, field) == "None" else text


def default_expression(layout: Layout, field: Field) -> str:
    """The field's default as source text."""
    if field.default == "null" or may_be_missing(field):
        return "None"
    if field.is_array:
        return "[]"
    if field.type in layout.class_names:
        return f"{layout.class_names[field.type]}()"
    if field.default is not None and field.type == "bool":
        return field.default.capitalize()
    if field.default is not None:
        return field.default
    if field.type == "records":
        return "None"
    zero = {"bool": "False", "float64": "0.0", "string": '""', "uuid": "ZERO_UUID", "bytes": 'b""'}
    return zero.get(field.type, "0")


def differs_from_default(layout: Layout, field: Field, value: str) -> str:
    """A condition: ``value`` (source text) is not the field's default."""
    default = default_expression(layout, field)
    ever_null = field.nullable.last >= field.nullable.first
    if may_be_missing(field) and not ever_null:
        inner = layout.struct_of(field).fields
        if any(f.is_struct or f.is_array for f in inner):
            raise ValueError(f"{field.name}: cannot compare with its default field by field")
        conditions = [differs_from_default(layout, f, f"{value}.{attribute(f)}") for f in inner]
        return f"{value} is not None and ({' or '.join(conditions)})"
    if default == "None":
        return f"{value} is not None"
    if default.endswith("()"):
        raise ValueError(f"{field.name}: an untagged struct that some versions lack")
    if default in ("[]", '""', 'b""', "0", "0.0", "False"):
        return f"{value} is None or {value}" if ever_null else value
    if default == "True":
        return f"not {value}"
    return f"{value} != {default}"
