"""Deciding on producer ids: brokers get them in blocks and hand them out themselves."""

from dataclasses import dataclass

from tierbroker.base.errors import (
    BrokerIdNotRegisteredError,
    StaleBrokerEpochError,
    UnknownServerError,
)
from tierbroker.controller.records.producer_ids_record import ProducerIdsRecord
from tierbroker.controller.state.image import MetadataImage
from tierbroker.controller.state.result import Result

BLOCK_SIZE = 1000
"""ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE"""
_MAX_PRODUCER_ID = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class ProducerIdsBlock:
    """The producer ids from `first` on, `count` of them."""

    first: int
    count: int


def allocate_producer_ids(
    image: MetadataImage, broker_id: int, broker_epoch: int
) -> Result[ProducerIdsBlock]:
    """Give the broker a block that nobody had before.

    Raises BrokerIdNotRegisteredError, StaleBrokerEpochError, and UnknownServerError when all
    2^63 are used up.
    """
    check_broker_epoch(image, broker_id, broker_epoch)
    first = image.producer_ids.next_producer_id
    if first > _MAX_PRODUCER_ID - BLOCK_SIZE:
        raise UnknownServerError("All producer ids are used up.")
    record = ProducerIdsRecord(broker_id, broker_epoch, first + BLOCK_SIZE)
    return Result((record,), ProducerIdsBlock(first, BLOCK_SIZE))


def check_broker_epoch(image: MetadataImage, broker_id: int, broker_epoch: int) -> None:
    """The broker is registered, and under this epoch; raises the ApiError that says otherwise."""
    broker = image.brokers.get(broker_id)
    if broker is None:
        raise BrokerIdNotRegisteredError(f"Broker {broker_id} is not registered.")
    if broker.epoch != broker_epoch:
        raise StaleBrokerEpochError(
            f"Broker {broker_id} is registered under epoch {broker.epoch}, not {broker_epoch}."
        )
