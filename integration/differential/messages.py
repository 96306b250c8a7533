"""Requests from nested dicts, and answers as nested dicts: a script needs no message classes.

Never looks at what a field means; that is `varying.py`'s part.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from tierbroker.wire import messages
from tierbroker.wire.api_keys import ApiKey

_CLASS_NAME = re.compile(r"[A-Z]\w*")


@dataclass(frozen=True, slots=True)
class Id:
    """The 16 bytes of a topic, directory or cluster id, as they were in an answer."""

    raw: bytes


def module_of(key: ApiKey) -> ModuleType:
    """The generated module of an API."""
    return messages.load(int(key))


def build_request(key: ApiKey, fields: Mapping[str, Any]) -> Any:
    """The request; `fields` may nest dicts and lists. TypeError names a field that is not there."""
    module = module_of(key)
    return _build(module, getattr(module, f"{module.NAME}Request"), fields)


def _build(module: ModuleType, kind: type, fields: Mapping[str, Any]) -> Any:
    annotations = kind.__annotations__
    values = {}
    for name, value in fields.items():
        nested = _struct_in(module, annotations.get(name, ""))
        if nested is None or value is None:
            values[name] = value.raw if isinstance(value, Id) else value
        elif isinstance(value, Mapping):
            values[name] = _build(module, nested, value)
        else:
            values[name] = [_build(module, nested, item) for item in value]
    return kind(**values)


def _struct_in(module: ModuleType, annotation: str) -> type | None:
    """The generated class that the annotation of a field names, if any."""
    for name in _CLASS_NAME.findall(annotation):
        found = getattr(module, name, None)
        if isinstance(found, type) and hasattr(found, "__slots__"):
            return found
    return None


def as_plain(value: Any, annotation: str = "") -> Any:
    """Structs become dicts in the order of their fields, byte views bytes, uuids `Id`."""
    if isinstance(value, Id):
        return value
    if isinstance(value, Mapping):
        return {name: as_plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain(item, annotation) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return Id(bytes(value)) if "Uuid" in annotation else bytes(value)
    if hasattr(type(value), "__slots__") and hasattr(type(value), "__annotations__"):
        names = type(value).__annotations__
        return {name: as_plain(getattr(value, name), names[name]) for name in value.__slots__}
    return value
