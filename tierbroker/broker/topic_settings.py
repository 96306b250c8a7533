"""What a topic may be set to on this broker, beyond the range of each single key."""

from collections.abc import Mapping

from tierbroker.base.errors import InvalidConfigError
from tierbroker.hot.config_origin import TopicConfigs


def check_topic_settings(configs: TopicConfigs, texts: Mapping[str, str]) -> None:
    """Raise InvalidConfigError for values that contradict each other or cannot be carried out."""
    values = configs.values(texts)
    if values["remote.storage.enable"]:
        raise InvalidConfigError(
            "remote.storage.enable: tiered storage is not available on this broker"
        )
