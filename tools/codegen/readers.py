"""Writes the source of the decoders: straight-line code, one function per struct and layout.

Fixed-size neighbours are read by one ``unpack_from``, together with the length prefix that
follows them. A slice beyond the end comes out short and leaves ``pos`` past the end; the next
read, or the check at the very end, turns that into a DecodeError, so strings need no check of
their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.codegen.layout import (
    FIXED,
    Layout,
    Struct,
    attribute,
    default_expression,
    fixed_codes,
    is_nullable,
    minimum_size,
    plain_fields,
    tagged_fields,
)
from tools.codegen.naming import format_name

if TYPE_CHECKING:
    from tools.schema import Field

_SIZES = dict(FIXED.values()) | {"B": 1}


class ReaderSource:
    """Collects the lines of one decoder; knows the run of fixed-size values not yet emitted."""

    def __init__(self, layout: Layout, version: int, names: dict[tuple[str, int], str]) -> None:
        self.layout = layout
        self.version = version
        self.names = names  # (class, version) -> function name
        self.flexible = layout.is_flexible(version)
        self.lines: list[str] = []
        self.formats: set[str] = set()
        self.run: list[tuple[str, str]] = []

    def emit(self, text: str, depth: int = 1) -> None:
        self.lines.append("    " * depth + text)

    def flush(self, depth: int = 1) -> None:
        """Emits the read of the pending run."""
        if not self.run:
            return
        codes = "".join(code for _, code in self.run)
        if codes == "B":
            self.emit(f"{self.run[0][0]} = buf[pos]", depth)
            self.emit("pos += 1", depth)
        else:
            targets = ", ".join(name for name, _ in self.run)
            comma = "," if len(self.run) == 1 else ""
            self.formats.add(codes)
            self.emit(f"{targets}{comma} = {format_name('U', codes)}(buf, pos)", depth)
            self.emit(f"pos += {sum(_SIZES[code] for code in codes)}", depth)
        self.run = []

    def read_struct(self, struct: Struct) -> None:
        for field in plain_fields(struct, self.version):
            self.read_value(field, attribute(field))
        if self.flexible:
            self.read_tags(struct)
        self.flush()
        arguments = [self.argument(struct, field) for field in struct.fields]
        while arguments and arguments[-1] is None:
            arguments.pop()
        values = [
            default_expression(self.layout, field) if value is None else value
            for field, value in zip(struct.fields, arguments, strict=False)
        ]
        if struct.keeps_unknown_tags and self.flexible:
            values.append("unknown_tagged_fields=unknown")
        self.emit(f"return {struct.name}({', '.join(values)}), pos")

    def argument(self, struct: Struct, field: Field) -> str | None:
        present = self.version in field.versions
        return attribute(field) if present else None

    def read_value(self, field: Field, name: str, depth: int = 1) -> None:
        """One untagged value into the local ``name``; may leave fixed values in the run."""
        nullable = is_nullable(field, self.version)
        if field.type in FIXED:
            self.run.append((name, FIXED[field.type][0]))
        elif field.is_array:
            self.read_array(field, name, nullable, depth)
        elif field.type == "string":
            self.read_length("h", name, nullable, depth, is_text=True)
            self.emit_string(name, nullable, depth)
        elif field.type in ("bytes", "records"):
            self.read_length("i", name, nullable, depth)
            self.emit_bytes(name, nullable, depth)
        else:
            self.read_nested(field, name, nullable, depth)

    def read_length(
        self, code: str, name: str, nullable: bool, depth: int, *, is_text: bool = False
    ) -> None:
        """A length prefix into ``n``; -1 for null, which is refused where it is not allowed.

        Texts have at most 32767 bytes in flexible versions too, as in Kafka's own readers.
        """
        self.run.append(("n", "B" if self.flexible else code))
        self.flush(depth)
        if self.flexible:
            self.emit("if n > 127:", depth)
            self.emit("n, pos = uvarint_tail(buf, pos, n)", depth + 1)
            if is_text:
                self.emit("if n > MAX_TEXT_BYTES + 1:", depth + 1)
                self.emit(f"raise too_long({name!r}, n - 1)", depth + 2)
            self.emit("n -= 1", depth)
        if nullable:
            if not self.flexible:
                self.emit("if n < -1:", depth)
                self.emit(f"raise negative_length({name!r}, n)", depth + 1)
        else:
            self.emit("if n < 0:", depth)
            self.emit(f"raise negative_length({name!r}, n)", depth + 1)

    def emit_string(self, name: str, nullable: bool, depth: int) -> None:
        if nullable:
            self.emit("if n < 0:", depth)
            self.emit(f"{name} = None", depth + 1)
            self.emit("else:", depth)
            depth += 1
        self.emit("end = pos + n", depth)
        self.emit(f'{name} = str(buf[pos:end], "utf-8")', depth)
        self.emit("pos = end", depth)

    def emit_bytes(self, name: str, nullable: bool, depth: int) -> None:
        if nullable:
            self.emit("if n < 0:", depth)
            self.emit(f"{name} = None", depth + 1)
            self.emit("else:", depth)
            depth += 1
        part = "bytes(buf[pos:end])" if self.layout.copies_bytes else "buf[pos:end]"
        self.emit("end = pos + n", depth)
        self.emit(f"{name} = {part}", depth)
        self.emit("pos = end", depth)

    def read_array(self, field: Field, name: str, nullable: bool, depth: int) -> None:
        self.read_length("i", name, nullable, depth)
        if nullable:
            self.emit("if n < 0:", depth)
            self.emit(f"{name} = None", depth + 1)
            self.emit("else:", depth)
            depth += 1
        size = minimum_size(self.layout, field.element_type, self.version)
        if size < 1:
            raise ValueError(f"{field.name}: elements of no bytes")
        product = f"n * {size}" if size > 1 else "n"
        self.emit(f"if {product} > len(buf) - pos or n > MAX_ARRAY_ELEMENTS:", depth)
        self.emit(f"raise too_many({name!r}, n)", depth + 1)
        self.read_elements(field, name, depth)

    def read_elements(self, field: Field, name: str, depth: int) -> None:
        element = field.element_type
        if element == "uuid":
            self.emit("end = pos + 16 * n", depth)
            self.emit(f"{name} = [bytes(buf[p : p + 16]) for p in range(pos, end, 16)]", depth)
            self.emit("pos = end", depth)
        elif element in FIXED:
            code, size = FIXED[element]
            values = f"unpack_from(f'>{{n}}{code}', buf, pos)"
            if element == "int32":
                values = f"UNPACK_INT32S[n](buf, pos) if n < SHORT_ARRAY else {values}"
            self.emit(f"{name} = list({values})", depth)
            self.emit(f"pos += {size} * n" if size > 1 else "pos += n", depth)
        elif element == "string":
            self.emit(f"{name} = []", depth)
            self.emit("for _ in range(n):", depth)
            inner = depth + 1
            self.read_length("h", name, False, inner, is_text=True)
            self.emit("end = pos + n", inner)
            self.emit(f'{name}.append(str(buf[pos:end], "utf-8"))', inner)
            self.emit("pos = end", inner)
        elif element in ("bytes", "records"):
            raise ValueError(f"{field.name}: array of {element}")
        else:
            self.read_structs(field, name, depth)

    def read_structs(self, field: Field, name: str, depth: int) -> None:
        struct = self.layout.struct_of(field)
        codes = None if self.flexible else fixed_codes(self.layout, struct, self.version)
        if codes is not None:
            present = [attribute(f) for f in plain_fields(struct, self.version)]
            values = [
                attribute(f) if self.version in f.versions else default_expression(self.layout, f)
                for f in struct.fields
            ]
            size = sum(_SIZES[code] for code in codes)
            targets = ", ".join(present) + ("," if len(present) == 1 else "")
            self.formats.add(codes)
            self.emit(f"end = pos + {size} * n", depth)
            self.emit(f"{name} = [", depth)
            self.emit(f"{struct.name}({', '.join(values)})", depth + 1)
            iterate = format_name("I", codes)
            self.emit(f"for {targets} in {iterate}(buf[pos:end])", depth + 1)
            self.emit("]", depth)
            self.emit("pos = end", depth)
            return
        self.emit(f"{name} = []", depth)
        self.emit("for _ in range(n):", depth)
        self.emit(f"item, pos = {self.names[struct.name, self.version]}(buf, pos)", depth + 1)
        self.emit(f"{name}.append(item)", depth + 1)

    def read_nested(self, field: Field, name: str, nullable: bool, depth: int) -> None:
        function = self.names[self.layout.struct_of(field).name, self.version]
        if nullable:
            self.run.append(("n", "b"))
            self.flush(depth)
            self.emit("if n < 0:", depth)
            self.emit(f"{name} = None", depth + 1)
            self.emit("else:", depth)
            self.emit(f"{name}, pos = {function}(buf, pos)", depth + 1)
        else:
            self.flush(depth)
            self.emit(f"{name}, pos = {function}(buf, pos)", depth)

    def read_tags(self, struct: Struct) -> None:
        tagged = tagged_fields(struct, self.version)
        self.run.append(("tags", "B"))
        self.flush()
        for field in tagged:
            self.emit(f"{attribute(field)} = {default_expression(self.layout, field)}")
        if struct.keeps_unknown_tags:
            self.emit("unknown = None")
        self.emit("if tags:")
        if not tagged and not struct.keeps_unknown_tags:
            self.emit("pos = skip_tagged_fields(buf, pos, tags)", 2)
            return
        self.emit("tags, pos = tag_count(buf, pos, tags)", 2)
        self.emit("for _ in range(tags):", 2)
        self.emit("tag, pos = read_uvarint(buf, pos)", 3)
        self.emit("tag_size, pos = read_uvarint(buf, pos)", 3)
        self.emit("tag_end = pos + tag_size", 3)
        word = "if"
        for field in tagged:
            self.emit(f"{word} tag == {field.tag}:", 3)
            self.read_value(field, attribute(field), 4)
            self.flush(4)
            self.emit("if pos != tag_end:", 4)
            self.emit(f"raise wrong_tag_size({attribute(field)!r}, tag_size)", 5)
            word = "elif"
        depth = 3
        if tagged:
            self.emit("else:", 3)
            depth = 4
        if struct.keeps_unknown_tags:
            self.emit("unknown = keep_tagged_field(unknown, buf, tag, pos, tag_end)", depth)
        self.emit("pos = tag_end", depth)
