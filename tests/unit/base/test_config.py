import pytest

from tierbroker.base.config import ConfigKey, ConfigSchema, ConfigType, Scope, between, one_of
from tierbroker.base.errors import InvalidConfigError

SEGMENT = ConfigKey("segment.bytes", ConfigType.INT, "100", "Size.", Scope.TOPIC, between(14))
POLICY = ConfigKey(
    "cleanup.policy", ConfigType.LIST, "delete", "How.", Scope.TOPIC, one_of("delete", "compact")
)
ENABLE = ConfigKey("auto.create.topics.enable", ConfigType.BOOLEAN, "true", "Whether.")
SECRET = ConfigKey("secret.key", ConfigType.INT, None, "Hidden.", sensitive=True)
SCHEMA = ConfigSchema([SEGMENT, POLICY, ENABLE, SECRET])


def test_values_are_typed() -> None:
    parsed = SCHEMA.parse(
        {"segment.bytes": " 20 ", "cleanup.policy": "compact, delete"}, Scope.TOPIC
    )
    assert parsed == {"segment.bytes": 20, "cleanup.policy": ("compact", "delete")}
    assert SCHEMA.defaults(Scope.BROKER) == {
        "auto.create.topics.enable": True,
        "secret.key": None,
    }


@pytest.mark.parametrize(
    ("key", "text", "complaint"),
    [
        (SEGMENT, "13", "at least 14"),
        (SEGMENT, "many", "whole number"),
        (SEGMENT, str(1 << 31), "32 bits"),
        (POLICY, "delete,shred", "one of delete, compact"),
        (ENABLE, "yes", "true or false"),
    ],
)
def test_a_bad_value_names_the_key_and_the_rule(key: ConfigKey, text: str, complaint: str) -> None:
    with pytest.raises(InvalidConfigError, match=complaint) as caught:
        key.parse(text)
    assert key.name in caught.value.message


def test_a_secret_is_not_repeated_in_the_error() -> None:
    with pytest.raises(InvalidConfigError) as caught:
        SECRET.parse("hunter2")
    assert "hunter2" not in caught.value.message


def test_an_unknown_key_names_the_nearest_known_one() -> None:
    with pytest.raises(InvalidConfigError, match=r"did you mean segment\.bytes\?"):
        SCHEMA.parse({"segment.byte": "1"}, Scope.TOPIC)
    with pytest.raises(InvalidConfigError, match="Unknown broker configuration"):
        SCHEMA.find("segment.bytes", Scope.BROKER)


def test_a_key_is_declared_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        ConfigSchema([SEGMENT, SEGMENT])


def test_an_empty_item_of_a_topic_key_is_one() -> None:
    assert POLICY.parse(" delete , compact ") == ("delete", "compact")
    assert POLICY.parse(" ") == ()
    for text in ("delete,", ",", "delete,,compact"):
        with pytest.raises(InvalidConfigError):
            POLICY.parse(text)
    dirs = ConfigKey("log.dirs", ConfigType.LIST, None, "Where.")
    assert dirs.parse("/a, /b,") == ("/a", "/b")


def test_text_is_taken_without_the_spaces_around_it() -> None:
    assert ConfigKey("compression.type", ConfigType.STRING, None, "How.").parse(" gzip ") == "gzip"
