"""What a topic may be set to on this broker, beyond the range of each single key."""

from collections.abc import Mapping

from tierbroker.base.config import ConfigValue
from tierbroker.base.errors import InvalidConfigError
from tierbroker.controller.state.topics import INTERNAL_TOPICS
from tierbroker.hot.config_origin import TopicConfigs

TIERED = "remote.storage.enable"
DELETES = "remote.log.delete.on.disable"


def check_topic_settings(
    configs: TopicConfigs,
    texts: Mapping[str, str],
    before: Mapping[str, str] | None = None,
    *,
    tiered: bool,
) -> None:
    """Raise InvalidConfigError for values that contradict each other or cannot be carried out.

    `before` are the topic's settings up to now. `tiered`: the broker has a cold tier. Compacted
    topics cannot be tiered, as in Kafka (KIP-405), and cold data goes only where that is said
    (KIP-950).
    """
    values = configs.values(texts)
    if not values[TIERED]:
        if before and configs.log_config(before).remote_storage_enable and not values[DELETES]:
            raise InvalidConfigError(
                f"{TIERED}: turned off, the topic would lose its cold data. To keep that and copy "
                f"nothing more, leave {TIERED}=true and set remote.log.copy.disable=true; to "
                f"delete it, set {TIERED}=false together with {DELETES}=true"
            )
        return
    if not tiered:
        raise InvalidConfigError(
            "remote.storage.enable: this broker has no cold tier. Start it with cold.url set, for "
            "example --set cold.url=file:///var/lib/tierbroker/cold"
        )
    if _is_compacted(values):
        raise InvalidConfigError(
            "remote.storage.enable: compacted topics cannot be tiered; only cleanup.policy=delete "
            "and an empty one can"
        )


def settings_of_new_topic(
    configs: TopicConfigs, name: str, texts: Mapping[str, str], *, tiered: bool
) -> dict[str, str]:
    """What a new topic gets beside its own settings: with `tiered`, which is
    log.remote.storage.enable, a place in the cold tier.

    Not where the topic says otherwise, is internal or compacted, or is so short-lived that its
    local part would outlive the whole.
    """
    if not tiered or TIERED in texts or name in INTERNAL_TOPICS:
        return {}
    added = {TIERED: "true"}
    try:
        values = configs.values({**texts, **added})
    except InvalidConfigError:
        return {}
    return {} if _is_compacted(values) else added


def _is_compacted(values: Mapping[str, ConfigValue]) -> bool:
    policies = values["cleanup.policy"]
    return isinstance(policies, tuple) and "compact" in policies
