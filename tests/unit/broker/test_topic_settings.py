"""What a topic may be set to, beyond the range of each key."""

import pytest

from tierbroker.base.errors import InvalidConfigError
from tierbroker.broker.topic_settings import check_topic_settings
from tierbroker.hot.config_origin import TopicConfigs


def test_ordinary_settings_pass() -> None:
    check_topic_settings(
        TopicConfigs(), {"retention.ms": "1000", "cleanup.policy": "compact"}, tiered=False
    )
    check_topic_settings(TopicConfigs(), {"remote.storage.enable": "true"}, tiered=True)


@pytest.mark.parametrize(
    ("texts", "complaint", "tiered"),
    [
        ({"min.compaction.lag.ms": "2", "max.compaction.lag.ms": "1"}, "exceeds", True),
        ({"remote.storage.enable": "true"}, "has no cold tier", False),
        ({"remote.storage.enable": "true", "cleanup.policy": "compact"}, "compacted", True),
        ({"retention.mz": "1"}, "did you mean", True),
    ],
)
def test_what_cannot_be_carried_out_is_refused(
    texts: dict[str, str], complaint: str, tiered: bool
) -> None:
    with pytest.raises(InvalidConfigError, match=complaint):
        check_topic_settings(TopicConfigs(), texts, tiered=tiered)
