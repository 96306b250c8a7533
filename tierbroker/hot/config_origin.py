"""Where the effective value of a topic key comes from: DescribeConfigs' source and synonyms.

Order: the topic's own value, then the broker's keys that it falls back to (with their unit: hours
and minutes become milliseconds), then the default. Must never know where the texts were read.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from tierbroker.base.config import ConfigKey, ConfigSchema, ConfigValue, Scope
from tierbroker.base.errors import InvalidConfigError
from tierbroker.hot.config import LogConfig, check_consistent
from tierbroker.hot.config_broker_keys import BROKER_KEYS
from tierbroker.hot.config_topic_keys import TOPIC_KEYS

logger = logging.getLogger(__name__)

_INTERNAL = "internal."
"""Keys for tests and experts: Kafka does not describe them until somebody sets them."""

MINUTE_MS = 60_000
HOUR_MS = 3_600_000


class ConfigSource(IntEnum):
    """Kafka's DescribeConfigs source ids (org.apache.kafka.clients.admin.ConfigEntry)."""

    UNKNOWN = 0
    DYNAMIC_TOPIC_CONFIG = 1
    DYNAMIC_BROKER_CONFIG = 2
    DYNAMIC_DEFAULT_BROKER_CONFIG = 3
    STATIC_BROKER_CONFIG = 4
    DEFAULT_CONFIG = 5


@dataclass(frozen=True, slots=True)
class ConfigSynonym:
    """One key that gives, or would give, the value. `text` is as set, in that key's own unit."""

    name: str
    text: str | None
    source: ConfigSource


@dataclass(frozen=True, slots=True)
class ConfigOrigin:
    """An effective value and where it comes from; the first synonym is the one in force."""

    key: ConfigKey
    text: str | None
    """The value as text in the key's own unit; None where it is not set."""
    value: ConfigValue
    source: ConfigSource
    synonyms: tuple[ConfigSynonym, ...]

    @property
    def is_default(self) -> bool:
        """Whether nobody set it."""
        return self.source is ConfigSource.DEFAULT_CONFIG


@dataclass(frozen=True, slots=True)
class BrokerLayer:
    """What is set for the broker in one place, by key name."""

    source: ConfigSource
    texts: Mapping[str, str]


_CONVERTED: dict[str, tuple[tuple[str, int], ...]] = {
    "retention.ms": (
        ("log.retention.ms", 1),
        ("log.retention.minutes", MINUTE_MS),
        ("log.retention.hours", HOUR_MS),
    ),
    "segment.ms": (("log.roll.ms", 1), ("log.roll.hours", HOUR_MS)),
    "segment.jitter.ms": (("log.roll.jitter.ms", 1), ("log.roll.jitter.hours", HOUR_MS)),
    "flush.ms": (("log.flush.interval.ms", 1), ("log.flush.scheduler.interval.ms", 1)),
}
"""Topic keys with several broker keys behind them, the strongest first, and each one's factor."""

_BROKER_KEYS = {key.name: key for key in BROKER_KEYS}
_TOPIC_SCHEMA = ConfigSchema(TOPIC_KEYS)


class TopicConfigs:
    """Effective topic configuration under one broker's settings.

    `layers` are the broker's settings, the strongest first. Make a new one when they change.
    """

    def __init__(self, layers: Sequence[BrokerLayer] = ()) -> None:
        self._fallbacks = {key.name: _fallbacks(key, layers) for key in TOPIC_KEYS}
        self._values: dict[str, ConfigValue] = {
            key.name: _value_of(key, self._fallbacks[key.name]) for key in TOPIC_KEYS
        }
        self._default = LogConfig.from_values(self._values)

    def values(self, topic_texts: Mapping[str, str]) -> dict[str, ConfigValue]:
        """Effective value of every topic key.

        Raises InvalidConfigError for an unknown key, a bad value, or values that contradict.
        """
        values = dict(self._values)
        for name, text in topic_texts.items():
            values[name] = _TOPIC_SCHEMA.find(name, Scope.TOPIC).parse(text)
        check_consistent(values)
        return values

    def log_config(self, topic_texts: Mapping[str, str]) -> LogConfig:
        """The LogConfig of a topic with these overrides.

        They were checked by `values` before they were stored. One that cannot be used all the
        same, because another release or other broker settings allowed it, is left out and
        reported: it must not keep the broker from serving the topic.
        """
        if not topic_texts:
            return self._default
        try:
            return LogConfig.from_values(self.values(topic_texts))
        except InvalidConfigError:
            return LogConfig.from_values(self._usable(topic_texts))

    def _usable(self, topic_texts: Mapping[str, str]) -> dict[str, ConfigValue]:
        usable = dict(self._values)
        for name, text in topic_texts.items():
            try:
                value = _TOPIC_SCHEMA.find(name, Scope.TOPIC).parse(text)
                check_consistent({**usable, name: value})
            except InvalidConfigError as error:
                logger.error("A topic setting is left out, it cannot be used: %s", error)
            else:
                usable[name] = value
        return usable

    def explain(self, topic_texts: Mapping[str, str]) -> list[ConfigOrigin]:
        """Origin of every topic key, in the order of TOPIC_KEYS; of internal ones where set."""
        return [
            self.explain_key(key, topic_texts)
            for key in TOPIC_KEYS
            if key.name in topic_texts or not key.name.startswith(_INTERNAL)
        ]

    def explain_key(self, key: ConfigKey, topic_texts: Mapping[str, str]) -> ConfigOrigin:
        """Origin of one topic key: its value, source and all synonyms, the one in force first."""
        fallbacks = self._fallbacks[key.name]
        synonyms = tuple(synonym for synonym, _ in fallbacks)
        own = topic_texts.get(key.name)
        if own is not None:
            value = key.parse(own)
            # As it is understood, not as it was written: true for TRUE.
            text = text_of(value)
            first = ConfigSynonym(key.name, text, ConfigSource.DYNAMIC_TOPIC_CONFIG)
            return ConfigOrigin(key, text, value, first.source, (first, *synonyms))
        value = self._values[key.name]
        source = synonyms[0].source if synonyms else ConfigSource.DEFAULT_CONFIG
        return ConfigOrigin(key, text_of(value), value, source, synonyms)


def explain_broker_key(key: ConfigKey, layers: Sequence[BrokerLayer]) -> ConfigOrigin:
    """Origin of a broker key of any package, with the strongest layer first."""
    synonyms = [
        ConfigSynonym(key.name, layer.texts[key.name], layer.source)
        for layer in layers
        if key.name in layer.texts
    ]
    if key.default is not None:
        synonyms.append(ConfigSynonym(key.name, key.default, ConfigSource.DEFAULT_CONFIG))
    if not synonyms:
        return ConfigOrigin(key, None, None, ConfigSource.DEFAULT_CONFIG, ())
    first = synonyms[0]
    return ConfigOrigin(key, first.text, key.parse(first.text), first.source, tuple(synonyms))


def text_of(value: ConfigValue) -> str | None:
    """A parsed value as a person would write it; None stays None."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value)


def _fallbacks(
    key: ConfigKey, layers: Sequence[BrokerLayer]
) -> list[tuple[ConfigSynonym, ConfigValue]]:
    """What is behind the topic's own value, the strongest first, values in the topic key's unit."""
    if key.synonym is None:
        return []
    behind = _CONVERTED.get(key.name, ((key.synonym, 1),))
    found: list[tuple[ConfigSynonym, ConfigValue]] = []
    for layer in layers:
        for name, factor in behind:
            text = layer.texts.get(name)
            if text is not None:
                found.append(_fallback(key, name, text, layer.source, factor))
    for name, factor in behind:
        default = _BROKER_KEYS[name].default
        if default is not None:
            found.append(_fallback(key, name, default, ConfigSource.DEFAULT_CONFIG, factor))
    return found


def _fallback(
    topic_key: ConfigKey, name: str, text: str, source: ConfigSource, factor: int
) -> tuple[ConfigSynonym, ConfigValue]:
    value = _BROKER_KEYS[name].parse(text)
    if topic_key.name == "retention.ms":
        value = _retention_ms(name, value, factor)
    elif factor != 1:
        assert isinstance(value, int)
        value *= factor
    if topic_key.validate is not None:
        try:
            topic_key.validate(value)
        except ValueError as error:
            raise InvalidConfigError(f"Invalid value {text!r} for {name}: {error}") from error
    return ConfigSynonym(name, text, source), value


def _retention_ms(name: str, value: ConfigValue, factor: int) -> int:
    """Any negative time means for ever; zero is refused (Kafka's AbstractKafkaConfig)."""
    assert isinstance(value, int)
    if value == 0:
        raise InvalidConfigError(f"Invalid value 0 for {name}: give a time, or -1 for no limit")
    return -1 if value < 0 else value * factor


def _value_of(key: ConfigKey, fallbacks: list[tuple[ConfigSynonym, ConfigValue]]) -> ConfigValue:
    return fallbacks[0][1] if fallbacks else key.parse(key.default)
