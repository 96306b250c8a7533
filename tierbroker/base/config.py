"""Configuration keys: declared once, beside the code that reads them.

A key knows its name, type, default, range and documentation; the reference page, DescribeConfigs
and the parser all come from that. Types and names are Kafka's (D-13).
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum

from tierbroker.base.errors import InvalidConfigError

ConfigValue = bool | int | float | str | tuple[str, ...] | None


class ConfigType(IntEnum):
    """The types of DescribeConfigs (org.apache.kafka.clients.admin.ConfigEntry.ConfigType)."""

    UNKNOWN = 0
    BOOLEAN = 1
    STRING = 2
    INT = 3
    SHORT = 4
    LONG = 5
    DOUBLE = 6
    LIST = 7
    CLASS = 8
    PASSWORD = 9


class Scope(Enum):
    """Where a key may be set."""

    BROKER = "broker"
    TOPIC = "topic"


_INTEGER_BITS = {ConfigType.SHORT: 16, ConfigType.INT: 32, ConfigType.LONG: 64}


@dataclass(frozen=True, slots=True)
class ConfigKey:
    """One key. `default` is text as a person would write it; None means "not set"."""

    name: str
    type: ConfigType
    default: str | None
    doc: str
    scope: Scope = Scope.BROKER
    validate: Callable[[ConfigValue], None] | None = None
    synonym: str | None = None
    """The broker key that a topic key falls back to."""
    sensitive: bool = False

    def parse(self, text: str | None) -> ConfigValue:
        """The typed value of `text`; raises InvalidConfigError naming the key."""
        if text is None:
            return None
        try:
            value = self._convert(text)
            if self.validate is not None:
                self.validate(value)
        except ValueError as error:
            shown = "[hidden]" if self.sensitive else repr(text)
            raise InvalidConfigError(f"Invalid value {shown} for {self.name}: {error}") from error
        return value

    def _convert(self, text: str) -> ConfigValue:
        if self.type is ConfigType.BOOLEAN:
            lowered = text.strip().lower()
            if lowered not in ("true", "false"):
                raise ValueError("expected true or false")
            return lowered == "true"
        if self.type in _INTEGER_BITS:
            return _integer(text, _INTEGER_BITS[self.type])
        if self.type is ConfigType.DOUBLE:
            return float(text)
        if self.type is ConfigType.LIST:
            items = [item.strip() for item in text.split(",")]
            if self.scope is Scope.BROKER or not text.strip():
                return tuple(item for item in items if item)
            # As in Kafka a comma stands between two items, be they empty: most keys refuse that.
            return tuple(items)
        return text.strip()


def _integer(text: str, bits: int) -> int:
    try:
        value = int(text.strip())
    except ValueError:
        raise ValueError("expected a whole number") from None
    limit = 1 << (bits - 1)
    if not -limit <= value < limit:
        raise ValueError(f"does not fit {bits} bits")
    return value


def between(low: float, high: float | None = None) -> Callable[[ConfigValue], None]:
    """A validator: at least `low`, at most `high`."""

    def check(value: ConfigValue) -> None:
        assert isinstance(value, int | float)
        if value < low:
            raise ValueError(f"must be at least {low}")
        if high is not None and value > high:
            raise ValueError(f"must be at most {high}")

    return check


def one_of(*allowed: str) -> Callable[[ConfigValue], None]:
    """A validator: the value, or each item of a list, is one of these."""

    def check(value: ConfigValue) -> None:
        items = value if isinstance(value, tuple) else (value,)
        for item in items:
            if item not in allowed:
                raise ValueError(f"must be one of {', '.join(allowed)}")

    return check


class ConfigValues(Mapping[str, ConfigValue]):
    """Parsed values by key name, with accessors for code that knows a key's type."""

    def __init__(self, values: Mapping[str, ConfigValue]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> ConfigValue:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def integer(self, name: str) -> int:
        """The value of an INT, SHORT or LONG key that has one."""
        value = self._values[name]
        assert isinstance(value, int), f"{name} is {value!r}, not a whole number"
        return value

    def flag(self, name: str) -> bool:
        """The value of a BOOLEAN key that has one."""
        value = self._values[name]
        assert isinstance(value, bool), f"{name} is {value!r}, not true or false"
        return value

    def text(self, name: str) -> str | None:
        """The value of a STRING key, None where it is not set."""
        value = self._values[name]
        assert value is None or isinstance(value, str), f"{name} is {value!r}, not text"
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """The items of a LIST key, none where it is not set."""
        value = self._values[name]
        assert value is None or isinstance(value, tuple), f"{name} is {value!r}, not a list"
        return value or ()


class ConfigSchema:
    """All keys that a node knows, collected from the packages that declare them."""

    def __init__(self, keys: Iterable[ConfigKey]) -> None:
        self._keys: dict[tuple[Scope, str], ConfigKey] = {}
        for key in keys:
            slot = (key.scope, key.name)
            if slot in self._keys:
                raise ValueError(f"configuration key {key.name} is declared twice")
            self._keys[slot] = key

    def __iter__(self) -> Iterator[ConfigKey]:
        return iter(self._keys.values())

    def keys(self, scope: Scope) -> list[ConfigKey]:
        """The keys of one scope, in the order of their declaration."""
        return [key for key in self if key.scope is scope]

    def find(self, name: str, scope: Scope) -> ConfigKey:
        """The key of that name; raises InvalidConfigError that names the nearest known one."""
        key = self._keys.get((scope, name))
        if key is not None:
            return key
        names = [known for known_scope, known in self._keys if known_scope is scope]
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InvalidConfigError(f"Unknown {scope.value} configuration {name}{hint}")

    def parse(self, texts: Mapping[str, str], scope: Scope) -> dict[str, ConfigValue]:
        """Typed values of the given texts; raises InvalidConfigError for the first bad one."""
        return {name: self.find(name, scope).parse(text) for name, text in texts.items()}

    def defaults(self, scope: Scope) -> dict[str, ConfigValue]:
        """The default value of every key of the scope."""
        return {key.name: key.parse(key.default) for key in self.keys(scope)}
