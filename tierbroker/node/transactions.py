"""The transaction coordinator of a node, bound to its topic."""

from collections.abc import Callable
from dataclasses import replace

from tierbroker.base.clock import Clock
from tierbroker.base.config import ConfigValues
from tierbroker.base.deadlines import Deadlines
from tierbroker.base.scheduler import Scheduler
from tierbroker.controller.state.image import MetadataImage
from tierbroker.controller.state.topics import TRANSACTION_STATE_TOPIC
from tierbroker.node.upkeep import Chore
from tierbroker.replication.internal_topics import InternalTopic
from tierbroker.replication.partitions import Partitions
from tierbroker.transactions.config import TransactionConfig
from tierbroker.transactions.coordinator import TransactionCoordinator
from tierbroker.transactions.ports import Markers, ProducerIds


def make_transactions(
    values: ConfigValues,
    image: MetadataImage,
    partitions: Partitions,
    producer_ids: ProducerIds,
    markers: Markers,
    clock: Clock,
    scheduler: Scheduler,
    feature_level: Callable[[], int],
) -> TransactionCoordinator:
    """The coordinator of all transactional ids whose partition of `__transaction_state` this
    broker leads.

    A topic that exists decides how many partitions there are, as in Kafka, whatever
    transaction.state.log.num.partitions says now.
    """
    config = TransactionConfig.from_values(values)
    topic = image.topic(TRANSACTION_STATE_TOPIC)
    if topic is not None:
        config = replace(config, partitions=len(topic.partitions))
    records = InternalTopic(TRANSACTION_STATE_TOPIC, partitions, clock)
    return TransactionCoordinator(
        config,
        records,
        records,
        producer_ids,
        markers,
        Deadlines(scheduler, clock),
        clock,
        scheduler.call_soon,
        feature_level=feature_level,
    )


def transaction_chores(
    coordinator: TransactionCoordinator, values: ConfigValues
) -> tuple[Chore, ...]:
    """What is looked for now and then: transactions that nobody ends, ids that nobody uses."""
    timed_out = values.integer("transaction.abort.timed.out.transaction.cleanup.interval.ms")
    expired = values.integer("transaction.remove.expired.transaction.cleanup.interval.ms")
    return (
        Chore(timed_out / 1000, coordinator.abort_timed_out),
        Chore(expired / 1000, coordinator.expire_ids),
    )
