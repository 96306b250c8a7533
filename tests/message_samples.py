"""Random instances of every generated message, made from the table of facts."""

from random import Random
from types import ModuleType
from typing import Any

from tierbroker.controller.records.index import MODULES
from tierbroker.wire import messages
from tools.codegen.layout import attribute, is_nullable, may_be_missing
from tools.schema import TABLE, Field, Message, parse_table

FACTS = parse_table(TABLE.read_text())
REQUESTS = {m.key: m for m in FACTS if m.kind == "request"}
RESPONSES = {m.key: m for m in FACTS if m.kind == "response"}
METADATA_RECORDS = {m.key: m for m in FACTS if m.kind == "metadata"}
assert MODULES.keys() == METADATA_RECORDS.keys()

_INTEGERS = {
    "int8": (-128, 127),
    "int16": (-(2**15), 2**15 - 1),
    "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
}
_LONGEST = 2_000_000_000_000  # of a duration or time in ms that the judges' types can hold


class Sampler:
    """Makes instances of one message's classes; ``fullness`` 0 leaves every field its default."""

    def __init__(
        self, module: ModuleType, message: Message, class_name: str, rng: Random, fullness: float
    ) -> None:
        self.module = module
        self.message = message
        self.class_name = class_name
        self.rng = rng
        self.fullness = fullness
        self.shared = {struct.name: struct.fields for struct in message.structs}

    def instance(self, version: int) -> Any:
        return self._struct(self.class_name, self.message.fields, version)

    def fields_of(self, field: Field) -> tuple[Field, ...]:
        return field.fields or self.shared[field.element_type]

    def class_for(self, name: str) -> str:
        if hasattr(self.module, name):
            return name
        return f"{self.message.kind.capitalize()}{name}"

    def _struct(self, class_name: str, fields: tuple[Field, ...], version: int) -> Any:
        values = {}
        for field in fields:
            if version not in field.versions:
                continue
            chosen = self.rng.random() < self.fullness
            if chosen or self._needs_value(class_name, field, version):
                values[attribute(field)] = self._value(field, version)
        return getattr(self.module, class_name)(**values)

    def _needs_value(self, class_name: str, field: Field, version: int) -> bool:
        """The default is null, and this version allows no null."""
        if is_nullable(field, version) or may_be_missing(field):
            return False
        return getattr(getattr(self.module, class_name)(), attribute(field)) is None

    def _value(self, field: Field, version: int) -> Any:
        if is_nullable(field, version) and self.rng.random() < 0.2:
            return None
        if not field.is_array:
            return self._element(field, version)
        return [self._element(field, version) for _ in range(self.rng.choice((0, 1, 1, 2, 3)))]

    def _element(self, field: Field, version: int) -> Any:
        kind = field.element_type
        rng = self.rng
        if field.is_struct:
            made = self._struct(self.class_for(kind), self.fields_of(field), version)
            # What is not sent and what has its default look the same on the wire.
            return None if may_be_missing(field) and made == type(made)() else made
        if kind == "bool":
            return rng.random() < 0.5
        if field.name.endswith("ErrorCode"):
            return rng.randrange(-1, 100)
        if kind in _INTEGERS:
            low, high = _INTEGERS[kind]
            if kind == "int64" and field.name.endswith(("Ms", "Timestamp", "Time")):
                return rng.randrange(_LONGEST)
            return rng.choice((low, high, 0, 1, rng.randint(low, high), rng.randint(0, 100)))
        if kind == "float64":
            return rng.choice((0.0, -1.5, 1e300, rng.random()))
        if kind == "uuid":
            return rng.randbytes(16)
        if kind == "string":
            return rng.choice(("", "a", "orders", "prüfung-λ", "x" * 127, "y" * rng.randrange(300)))
        return rng.randbytes(rng.choice((0, 1, 126, 127, 128, 300)))


def api_sampler(key: int, kind: str, rng: Random, fullness: float) -> Sampler:
    """Of the request or response (``kind``) of one API."""
    module = messages.load(key)
    message = (REQUESTS if kind == "request" else RESPONSES)[key]
    return Sampler(module, message, f"{message.name}{kind.capitalize()}", rng, fullness)
