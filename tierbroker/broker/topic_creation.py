"""Topic names, and topics that come into being because somebody asked for them."""

from tierbroker.base.errors import InvalidTopicError
from tierbroker.base.pending import Pending
from tierbroker.broker.services import BrokerServices
from tierbroker.controller.state.topics import (
    INTERNAL_TOPICS,
    OFFSETS_TOPIC,
    TRANSACTION_STATE_TOPIC,
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
    internal = {OFFSETS_TOPIC: _offsets_topic, TRANSACTION_STATE_TOPIC: _transaction_topic}
    make = internal.get(name)
    topic = NewTopic(name) if make is None else make(broker)
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


def _transaction_topic(broker: BrokerServices) -> NewTopic:
    """The topic of the transaction coordinator, with the settings that Kafka gives it."""
    values = broker.values
    return NewTopic(
        TRANSACTION_STATE_TOPIC,
        broker.transactions.num_partitions,
        values.integer("transaction.state.log.replication.factor"),
        configs=(
            ("cleanup.policy", "compact"),
            ("compression.type", "uncompressed"),
            ("min.insync.replicas", str(values["transaction.state.log.min.isr"])),
            ("segment.bytes", str(values["transaction.state.log.segment.bytes"])),
            ("unclean.leader.election.enable", "false"),
        ),
    )
