"""The decoders and encoders of one message, made on demand and shared by equal layouts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tools.codegen.readers import ReaderSource
from tools.codegen.writers import WriterSource

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tools.codegen.layout import Layout

Direction = Literal["read", "write"]

_SIGNATURES: Mapping[str, str] = {"read": "buf, pos", "write": "w, m"}


class Functions(dict[tuple[str, int], str]):
    """(class name, version) -> name of the function; asking for one generates its source.

    Versions whose source would be the same share the function of the first of them.
    """

    def __init__(self, layout: Layout, direction: Direction) -> None:
        super().__init__()
        self.layout = layout
        self.direction = direction
        self.formats: set[str] = set()
        self.source: list[str] = []
        self._by_body: dict[tuple[str, str], str] = {}

    def __missing__(self, key: tuple[str, int]) -> str:
        class_name, version = key
        struct = self.layout.structs[class_name]
        if self.direction == "read":
            reader = ReaderSource(self.layout, version, self)
            reader.read_struct(struct)
            lines, formats = reader.lines, reader.formats
        else:
            writer = WriterSource(self.layout, version, self)
            writer.write_struct(struct)
            lines, formats = writer.lines, writer.formats
        body = "\n".join(lines)
        name = self._by_body.get((class_name, body))
        if name is None:
            name = f"_{self.direction}_{class_name}_{version}"
            self._by_body[class_name, body] = name
            self.formats |= formats
            self.source.append(f"def {name}({_SIGNATURES[self.direction]}):\n{body}\n")
        self[key] = name
        return name

    def table(self, constant: str) -> str:
        """Source of the dictionary version -> function of the message itself."""
        root = self.layout.root.name
        entries = [f"    {v}: {self[root, v]},\n" for v in self.layout.message.versions]
        return f"{constant} = {{\n{''.join(entries)}}}\n"
