"""How clients of each family are told which broker to use."""

from typing import Literal

ClientFamily = Literal["confluent", "kafka-python", "aiokafka"]

_BOOTSTRAP_KEYS = {
    "confluent": "bootstrap.servers",
    "kafka-python": "bootstrap_servers",
    "aiokafka": "bootstrap_servers",
}


def client_config(bootstrap: str, client: ClientFamily) -> dict[str, str]:
    """The settings that name the broker, in the spelling of the client; ValueError if unknown."""
    key = _BOOTSTRAP_KEYS.get(client)
    if key is None:
        known = ", ".join(_BOOTSTRAP_KEYS)
        raise ValueError(f"unknown client family {client!r}; known are {known}")
    return {key: bootstrap}
