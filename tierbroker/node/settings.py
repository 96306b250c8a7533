"""All settings of a node, from every place they may come from.

One precedence: flag, then environment (`TIERBROKER_LOG_SEGMENT_BYTES` for `log.segment.bytes`),
then the TOML file, then the default. An unknown key is an error that names the nearest one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tierbroker.base.config import ConfigSchema, ConfigValues, Scope
from tierbroker.base.errors import InvalidConfigError
from tierbroker.broker.config import BROKER_KEYS as REQUEST_KEYS
from tierbroker.cold.config import COLD_KEYS
from tierbroker.cold.tier_config import TIER_KEYS
from tierbroker.groups.config import GROUP_KEYS
from tierbroker.hot.config_broker_keys import BROKER_KEYS as LOG_KEYS
from tierbroker.hot.config_origin import BrokerLayer, ConfigSource
from tierbroker.hot.config_topic_keys import TOPIC_KEYS
from tierbroker.node.config import NODE_KEYS
from tierbroker.server.config import SERVER_KEYS
from tierbroker.transactions.config import TRANSACTION_KEYS

ENVIRONMENT_PREFIX = "TIERBROKER_"
_NOT_SETTINGS = frozenset({"TIERBROKER_BOOTSTRAP"})
"""Variables of that prefix which the command line reads itself."""

SCHEMA = ConfigSchema(
    (
        *NODE_KEYS,
        *REQUEST_KEYS,
        *SERVER_KEYS,
        *GROUP_KEYS,
        *TRANSACTION_KEYS,
        *LOG_KEYS,
        *TIER_KEYS,
        *COLD_KEYS,
        *TOPIC_KEYS,
    )
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What was set, as text, and the value in force of every broker key."""

    texts: Mapping[str, str]
    values: ConfigValues

    @property
    def layers(self) -> tuple[BrokerLayer, ...]:
        """What was set, as the explanation of an effective value needs it."""
        return (BrokerLayer(ConfigSource.STATIC_BROKER_CONFIG, self.texts),)

    @classmethod
    def load(
        cls,
        flags: Mapping[str, str],
        env: Mapping[str, str] | None = None,
        toml_path: str | None = None,
    ) -> "Settings":
        """Collect the settings; raises InvalidConfigError with a message for a person."""
        sources: list[tuple[str, Mapping[str, str]]] = []
        if toml_path is not None:
            sources.append((f"the settings file {toml_path}", _read_toml(toml_path)))
        sources.append((f"the environment ({ENVIRONMENT_PREFIX}...)", _read_environment(env or {})))
        sources.append(("the command line", flags))
        texts: dict[str, str] = {}
        values = SCHEMA.defaults(Scope.BROKER)
        for source, found in sources:
            try:
                values.update(SCHEMA.parse(found, Scope.BROKER))
            except InvalidConfigError as error:
                raise InvalidConfigError(f"{error.message}, in {source}") from error
            texts.update(found)
        return cls(texts, ConfigValues(values))


def _read_environment(env: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix(ENVIRONMENT_PREFIX).lower().replace("_", "."): value
        for name, value in env.items()
        if name.startswith(ENVIRONMENT_PREFIX) and name not in _NOT_SETTINGS
    }


def _read_toml(path: str) -> dict[str, str]:
    import tomllib

    try:
        with open(path, "rb") as file:
            tree = tomllib.load(file)
    except OSError as error:
        raise InvalidConfigError(f"Cannot read the settings file {path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidConfigError(f"The settings file {path} is not TOML: {error}") from error
    texts: dict[str, str] = {}
    _flatten("", tree, texts)
    return texts


def _flatten(prefix: str, table: Mapping[str, Any], texts: dict[str, str]) -> None:
    """`[log] segment.bytes = 1` and `"log.segment.bytes" = 1` are the same setting."""
    for name, value in table.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict):
            _flatten(f"{key}.", value, texts)
        elif isinstance(value, bool):
            texts[key] = "true" if value else "false"
        elif isinstance(value, list):
            texts[key] = ",".join(str(item) for item in value)
        else:
            texts[key] = str(value)
