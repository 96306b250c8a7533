"""What the cleaner needs to know of the broker's configuration (`log.cleaner.*`)."""

from collections.abc import Mapping
from dataclasses import dataclass

from tierbroker.base.config import ConfigValue


@dataclass(frozen=True, slots=True)
class CleanerConfig:
    """Memory and rates of the child process. Topics have the settings that say when."""

    table_bytes: int
    load_factor: float
    io_buffer_bytes: int
    io_bytes_per_second: float

    @classmethod
    def from_values(cls, values: Mapping[str, ConfigValue]) -> "CleanerConfig":
        """From parsed broker values."""
        return cls(
            table_bytes=_number(values, "log.cleaner.dedupe.buffer.size"),
            load_factor=float(_number(values, "log.cleaner.io.buffer.load.factor")),
            io_buffer_bytes=_number(values, "log.cleaner.io.buffer.size"),
            io_bytes_per_second=float(_number(values, "log.cleaner.io.max.bytes.per.second")),
        )


def _number(values: Mapping[str, ConfigValue], name: str) -> int:
    value = values[name]
    assert isinstance(value, int | float), f"{name} is {value!r}, not a number"
    return value  # type: ignore[return-value]
