"""Topic names, and topics that come into being because somebody asked for them."""

from tierbroker.base.errors import InvalidTopicError
from tierbroker.base.pending import Pending
from tierbroker.broker.services import BrokerServices
from tierbroker.controller.state.topics import (
    INTERNAL_TOPICS,
    OFFSETS_TOPIC,
    NewTopic,
    TopicOutcome,
    check_name,
    create_topics,
)


def is_internal(name: str) -> bool:
    """Whether clients should leave the topic to the broker."""
    return name in INTERNAL_TOPICS


def is_legal_name(name: str) -> bool:
    """Whether a topic may have this name."""
    try:
        check_name(name)
    except InvalidTopicError:
        return False
    return True


async def create_automatically(broker: BrokerServices, name: str) -> None:
    """Create a topic with the broker's defaults; requests for the same name share one decision.

    Raises InvalidTopicError and whatever else the decision fails with.
    """
    check_name(name)
    underway = broker.auto_creating.get(name)
    if underway is None:
        underway = _submit(broker, name)
        if not underway.done:
            broker.auto_creating[name] = underway
            underway.on_done(lambda _: broker.auto_creating.pop(name))
    outcome = (await underway)[0]
    if outcome.error is not None:
        raise outcome.error


def _submit(broker: BrokerServices, name: str) -> Pending[list[TopicOutcome]]:
    topic = _offsets_topic(broker) if name == OFFSETS_TOPIC else NewTopic(name)
    return broker.controller.submit(lambda image: create_topics(image, [topic], broker.environment))


def _offsets_topic(broker: BrokerServices) -> NewTopic:
    """The topic of the group coordinator, with the settings that Kafka gives it."""
    values = broker.values
    return NewTopic(
        OFFSETS_TOPIC,
        broker.groups.num_partitions,
        values.integer("offsets.topic.replication.factor"),
        configs=(
            ("cleanup.policy", "compact"),
            ("compression.type", "producer"),
            ("segment.bytes", str(values["offsets.topic.segment.bytes"])),
        ),
    )
