"""Writes the source of the encoders: straight-line code, one function per struct and layout.

An encoder gets ``w``, the append of a list of byte parts. Fixed-size neighbours are packed by
one call, together with the classic length prefix or the zero count of tagged fields after them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.codegen.layout import (
    FIXED,
    Layout,
    Struct,
    absent_fields,
    attribute,
    differs_from_default,
    fixed_codes,
    is_nullable,
    plain_fields,
    tagged_fields,
)
from tools.codegen.naming import format_name

if TYPE_CHECKING:
    from tools.schema import Field


class WriterSource:
    """Collects the lines of one encoder; knows the run of fixed-size values not yet emitted."""

    def __init__(self, layout: Layout, version: int, names: dict[tuple[str, int], str]) -> None:
        self.layout = layout
        self.version = version
        self.names = names
        self.flexible = layout.is_flexible(version)
        self.lines: list[str] = []
        self.formats: set[str] = set()
        self.run: list[tuple[str, str]] = []
        self.out = "w"

    def emit(self, text: str, depth: int = 1) -> None:
        self.lines.append("    " * depth + text)

    def flush(self, depth: int = 1) -> None:
        if not self.run:
            return
        codes = "".join(code for _, code in self.run)
        if [value for value, _ in self.run] == ["0"] and codes == "B":
            self.emit(f'{self.out}(b"\\0")', depth)
        else:
            values = ", ".join(value for value, _ in self.run)
            self.formats.add(codes)
            self.emit(f"{self.out}({format_name('P', codes)}({values}))", depth)
        self.run = []

    def write_struct(self, struct: Struct) -> None:
        for field in absent_fields(struct, self.version):
            value = f"m.{attribute(field)}"
            self.emit(f"if {differs_from_default(self.layout, field, value)}:")
            self.emit(f'raise not_in_version("{struct.name}.{attribute(field)}")', 2)
        for field in plain_fields(struct, self.version):
            self.write_value(field, f"m.{attribute(field)}")
        if self.flexible:
            self.write_tags(struct)
        self.flush()
        if not self.lines:
            self.emit("pass")

    def write_value(self, field: Field, value: str, depth: int = 1) -> None:
        nullable = is_nullable(field, self.version)
        if field.type in FIXED:
            self.run.append((value, FIXED[field.type][0]))
        elif field.is_array:
            self.write_array(field, value, nullable, depth)
        elif field.type == "string":
            if nullable:
                self.emit(f's = b"" if {value} is None else {value}.encode()', depth)
            else:
                self.emit(f"s = {value}.encode()", depth)
            self.write_length("h", "s", f"{value} is None" if nullable else None, depth)
            self.emit(f"{self.out}(s)", depth)
        elif field.type in ("bytes", "records"):
            self.emit(
                f's = b"" if {value} is None else {value}' if nullable else f"s = {value}", depth
            )
            self.write_length("i", "s", f"{value} is None" if nullable else None, depth)
            self.emit(f"{self.out}(s)", depth)
        else:
            self.write_nested(field, value, nullable, depth)

    def write_length(self, code: str, name: str, null_if: str | None, depth: int) -> None:
        """The length of the local ``name``; after it the run is empty."""
        if self.flexible:
            self.flush(depth)
            length = f"len({name}) + 1"
            if null_if:
                length = f"0 if {null_if} else {length}"
            self.emit(f"n = {length}", depth)
            self.emit(f"{self.out}(UVARINT[n] if n < UVARINTS else encode_uvarint(n))", depth)
            return
        length = f"len({name})"
        self.run.append((f"-1 if {null_if} else {length}" if null_if else length, code))
        self.flush(depth)

    def write_array(self, field: Field, value: str, nullable: bool, depth: int) -> None:
        self.emit(f"a = () if {value} is None else {value}" if nullable else f"a = {value}", depth)
        self.write_length("i", "a", f"{value} is None" if nullable else None, depth)
        element = field.element_type
        if element == "uuid":
            self.emit(f'{self.out}(b"".join(a))', depth)
        elif element in FIXED:
            packed = f"pack(f'>{{len(a)}}{FIXED[element][0]}', *a)"
            if element == "int32":
                packed = f"PACK_INT32S[len(a)](*a) if len(a) < SHORT_ARRAY else {packed}"
            self.emit(f"{self.out}({packed})", depth)
        elif element == "string":
            self.emit("for s in a:", depth)
            self.emit("s = s.encode()", depth + 1)
            self.write_length("h", "s", None, depth + 1)
            self.emit(f"{self.out}(s)", depth + 1)
        else:
            struct = self.layout.struct_of(field)
            self.emit("for x in a:", depth)
            codes = fixed_codes(self.layout, struct, self.version)
            if codes is not None and not absent_fields(struct, self.version):
                values = [f"x.{attribute(f)}" for f in plain_fields(struct, self.version)]
                if self.flexible:
                    codes += "B"
                    values.append("0")
                self.formats.add(codes)
                call = f"{format_name('P', codes)}({', '.join(values)})"
                self.emit(f"{self.out}({call})", depth + 1)
            else:
                function = self.names[struct.name, self.version]
                self.emit(f"{function}({self.out}, x)", depth + 1)

    def write_nested(self, field: Field, value: str, nullable: bool, depth: int) -> None:
        function = self.names[self.layout.struct_of(field).name, self.version]
        self.flush(depth)
        if nullable:
            self.emit(f"if {value} is None:", depth)
            self.emit(f'{self.out}(b"\\xff")', depth + 1)
            self.emit("else:", depth)
            depth += 1
            self.emit(f'{self.out}(b"\\x01")', depth)
        self.emit(f"{function}({self.out}, {value})", depth)

    def write_tags(self, struct: Struct) -> None:
        tagged = tagged_fields(struct, self.version)
        if not tagged and not struct.keeps_unknown_tags:
            self.run.append(("0", "B"))
            return
        self.flush()
        conditions = [
            differs_from_default(self.layout, field, f"m.{attribute(field)}") for field in tagged
        ]
        if struct.keeps_unknown_tags:
            conditions.append("m.unknown_tagged_fields")
        self.emit(f"if {' or '.join(conditions)}:")
        self.emit("tagged = []", 2)
        for field, condition in zip(tagged, conditions, strict=False):
            self.emit(f"if {condition}:", 2)
            self.emit("part = []", 3)
            self.emit("v = part.append", 3)
            self.out = "v"
            self.write_value(field, f"m.{attribute(field)}", 3)
            self.flush(3)
            self.out = "w"
            self.emit(f'tagged.append(({field.tag}, b"".join(part)))', 3)
        if struct.keeps_unknown_tags:
            self.emit("if m.unknown_tagged_fields:", 2)
            self.emit("tagged += m.unknown_tagged_fields.items()", 3)
            self.emit("tagged.sort()", 3)
        self.emit("write_tagged_fields(w, tagged)", 2)
        self.emit("else:")
        self.emit('w(b"\\0")', 2)
