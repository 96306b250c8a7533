"""Deciding on producer ids."""

import pytest

from tests.metadata_cluster import applied, cluster, replayed
from tierbroker.base.errors import (
    BrokerIdNotRegisteredError,
    StaleBrokerEpochError,
    UnknownServerError,
)
from tierbroker.controller.records.producer_ids_record import ProducerIdsRecord
from tierbroker.controller.state.producer_ids import ProducerIdsBlock, allocate_producer_ids


def test_blocks_follow_each_other() -> None:
    image = cluster(1)
    epoch = image.brokers[1].epoch
    first = allocate_producer_ids(image, 1, epoch)
    assert first.response == ProducerIdsBlock(0, 1000)
    image = applied(image, first)
    assert allocate_producer_ids(image, 1, epoch).response == ProducerIdsBlock(1000, 1000)


def test_only_registered_brokers_get_one() -> None:
    image = cluster(1)
    with pytest.raises(BrokerIdNotRegisteredError):
        allocate_producer_ids(image, 2, 0)
    with pytest.raises(StaleBrokerEpochError):
        allocate_producer_ids(image, 1, image.brokers[1].epoch - 1)


def test_the_last_block() -> None:
    image = replayed(cluster(1), [ProducerIdsRecord(1, 1, (1 << 63) - 1000)])
    with pytest.raises(UnknownServerError):
        allocate_producer_ids(image, 1, image.brokers[1].epoch)
