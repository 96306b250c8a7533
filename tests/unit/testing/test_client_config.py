"""Spelling of the bootstrap setting."""

from typing import Any

import pytest

from tierbroker.testing.client_config import client_config


def test_each_family_has_its_spelling() -> None:
    assert client_config("h:1", "confluent") == {"bootstrap.servers": "h:1"}
    assert client_config("h:1", "kafka-python") == {"bootstrap_servers": "h:1"}
    assert client_config("h:1", "aiokafka") == {"bootstrap_servers": "h:1"}


def test_an_unknown_family_is_told_the_known_ones() -> None:
    unknown: Any = "sarama"
    with pytest.raises(ValueError, match="confluent, kafka-python, aiokafka"):
        client_config("h:1", unknown)
