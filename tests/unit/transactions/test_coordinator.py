"""Routing to shards, and what is answered when a request makes no sense."""

import pytest

from tests.transaction_world import A, TransactionWorld
from tierbroker.transactions.config import TransactionConfig
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.init_producer_id import InitProducerIdRequest

MANY = TransactionConfig(partitions=50)


@pytest.mark.parametrize(("name", "partition"), [("a", 47), ("polygenelubricants", 0)])
def test_an_id_lives_where_kafka_would_keep_it(name: str, partition: int) -> None:
    coordinator = TransactionWorld(MANY, load=False).coordinator
    assert coordinator.num_partitions == 50
    assert coordinator.partition_for(name) == partition


def test_only_the_shard_of_an_id_is_asked() -> None:
    world = TransactionWorld(MANY, load=False)
    world.coordinator.load(47, 3)
    world.run_turns()
    assert world.init("a").result().error_code == ErrorCode.NONE
    assert world.init("b").result().error_code == ErrorCode.NOT_COORDINATOR
    assert len(world.log.records(47)) == 1


@pytest.mark.parametrize("name", ["", "x" * 32_768, "ü" * 16_384])
def test_names_that_no_record_can_hold_are_refused(name: str) -> None:
    world = TransactionWorld()
    invalid = ErrorCode.INVALID_REQUEST
    assert world.init(name).result().error_code == invalid
    assert world.add((1, 0), A, transactional_id=name).result() is invalid
    assert world.verify((1, 0), A, transactional_id=name) is invalid
    assert world.end((1, 0), transactional_id=name).result().error_code == invalid
    assert world.describe(name).error_code == invalid


def test_the_longest_name_works() -> None:
    assert TransactionWorld().init("ü" * 16_383).result().error_code == ErrorCode.NONE


def test_two_phase_commit_is_switched_off_as_in_kafka() -> None:
    coordinator = TransactionWorld().coordinator
    enabled = coordinator.init_producer_id(InitProducerIdRequest("t", 1, enable_2pc=True), 6)
    assert enabled.result().error_code == ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    kept = coordinator.init_producer_id(InitProducerIdRequest("t", 1, keep_prepared_txn=True), 6)
    assert kept.result().error_code == ErrorCode.UNSUPPORTED_VERSION


def test_a_refused_producer_gets_no_id() -> None:
    answer = TransactionWorld().init(timeout_ms=0).result()
    assert (answer.producer_id, answer.producer_epoch) == (-1, -1)


def test_the_version_of_end_txn_tells_the_protocol() -> None:
    world = TransactionWorld()
    producer = world.producer()
    world.add(producer, A)
    answer = world.end(producer, version=4).result()
    assert (answer.producer_id, answer.producer_epoch) == (-1, -1)
    assert world.describe().producer_epoch == 0
    world.add(producer, A)
    answer = world.end(producer, version=5).result()
    assert (answer.producer_id, answer.producer_epoch) == (1_000, 1)
