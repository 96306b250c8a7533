"""What a topic may be set to on this broker, beyond the range of each single key."""

from collections.abc import Mapping

from tierbroker.base.errors import InvalidConfigError
from tierbroker.hot.config_origin import TopicConfigs


def check_topic_settings(configs: TopicConfigs, texts: Mapping[str, str], *, tiered: bool) -> None:
    """Raise InvalidConfigError for values that contradict each other or cannot be carried out.

    `tiered`: the broker has a cold tier. Compacted topics cannot be tiered, as in Kafka (KIP-405).
    """
    values = configs.values(texts)
    if not values["remote.storage.enable"]:
        return
    if not tiered:
        raise InvalidConfigError(
            "remote.storage.enable: this broker has no cold tier. Start it with cold.url set, for "
            "example --set cold.url=file:///var/lib/tierbroker/cold"
        )
    policies = values["cleanup.policy"]
    if isinstance(policies, tuple) and "compact" in policies:
        raise InvalidConfigError("remote.storage.enable: compacted topics cannot be tiered")
