"""Deciding on brokers: registration, fencing, restarts."""

from dataclasses import replace

import pytest

from tests.metadata_cluster import applied, cluster, log_dir, registration, with_topic
from tierbroker.base.errors import (
    BrokerIdNotRegisteredError,
    DuplicateBrokerRegistrationError,
    InvalidRequestError,
    StaleBrokerEpochError,
    UnsupportedVersionError,
)
from tierbroker.base.ids import Uuid
from tierbroker.controller.records.partition_change_record import PartitionChangeRecord
from tierbroker.controller.state.brokers import (
    Registration,
    begin_controlled_shutdown,
    fence_broker,
    register_broker,
    unfence_broker,
    unregister_broker,
)
from tierbroker.controller.state.image import (
    LeaderRecoveryState,
    MetadataImage,
    PartitionImage,
    VersionRange,
)
from tierbroker.controller.state.result import Result


def partition(image: MetadataImage, number: int = 0) -> PartitionImage:
    topic = image.topic("a")
    assert topic is not None
    return topic.partitions[number]


def test_a_broker_starts_fenced_under_the_offset_of_its_record() -> None:
    image = cluster()
    result = register_broker(image, registration(1))
    after = applied(image, result)
    assert result.response == after.brokers[1].epoch == after.offset
    assert after.brokers[1].fenced
    after = applied(after, unfence_broker(after, 1, result.response))
    assert after.brokers[1].active


def test_a_broker_of_the_same_process_may_register_unfenced() -> None:
    image = cluster()
    after = applied(image, register_broker(image, registration(1, fenced=False)))
    assert after.brokers[1].active


def test_the_same_incarnation_changes_nothing() -> None:
    image = cluster(1)
    result = register_broker(image, registration(1), session_alive=True)
    assert result.records == ()
    assert result.response == image.brokers[1].epoch


def test_another_incarnation_must_wait_for_the_session() -> None:
    image = cluster(1)
    with pytest.raises(DuplicateBrokerRegistrationError):
        register_broker(image, registration(1, incarnation=2), session_alive=True)
    assert register_broker(image, registration(1, incarnation=2)).records


def test_after_a_clean_restart_no_partition_changes() -> None:
    image = with_topic(cluster(1), "a", (1,), (1,))
    again = registration(1, incarnation=2, previous_epoch=image.brokers[1].epoch)
    result = register_broker(image, again)
    assert [type(record).__name__ for record in result.records] == ["RegisterBrokerRecord"]


def test_after_an_unclean_restart_its_partitions_get_a_new_leader_epoch() -> None:
    image = with_topic(cluster(1), "a", (1,), (1,))
    after = applied(image, register_broker(image, registration(1, incarnation=2)))
    for number in (0, 1):
        assert partition(after, number) == replace(
            partition(image, number), leader_epoch=1, partition_epoch=1
        )


def test_after_an_unclean_restart_in_sync_peers_take_over() -> None:
    image = with_topic(cluster(1, 2), "a", (1, 2), (2, 1), (1,))
    after = applied(image, register_broker(image, registration(1, incarnation=2)))
    assert (partition(after, 0).leader, partition(after, 0).isr) == (2, (2,))
    assert partition(after, 0).leader_epoch == 1
    assert (partition(after, 1).leader, partition(after, 1).isr) == (2, (2,))
    assert partition(after, 1).leader_epoch == 0
    assert (partition(after, 2).leader, partition(after, 2).leader_epoch) == (1, 1)


def test_fencing_moves_leaders_and_shrinks_isrs() -> None:
    image = with_topic(cluster(1, 2), "a", (1, 2), (1,))
    epoch = image.brokers[1].epoch
    fenced = applied(image, fence_broker(image, 1, epoch))
    assert fenced.brokers[1].fenced
    assert (partition(fenced, 0).leader, partition(fenced, 0).isr) == (2, (2,))
    assert (partition(fenced, 1).leader, partition(fenced, 1).isr) == (-1, (1,))
    assert fence_broker(fenced, 1, epoch).records == ()
    back = applied(fenced, unfence_broker(fenced, 1, epoch))
    assert (partition(back, 1).leader, partition(back, 1).leader_epoch) == (1, 2)
    assert partition(back, 0).leader == 2
    assert unfence_broker(back, 1, epoch).records == ()


def test_a_broker_that_registers_unfenced_leads_what_has_no_leader() -> None:
    """As Kafka leaves a single node that it stopped in order."""
    image = with_topic(cluster(1), "a", (1,), (1,))
    stopped = applied(image, fence_broker(image, 1, image.brokers[1].epoch))
    assert [partition(stopped, number).leader for number in (0, 1)] == [-1, -1]
    again = registration(1, incarnation=2, previous_epoch=image.brokers[1].epoch, fenced=False)
    back = applied(stopped, register_broker(stopped, again))
    for number in (0, 1):
        found = partition(back, number)
        assert (found.leader, found.isr, found.leader_epoch) == (1, (1,), 2)
    fenced_again = replace(again, fenced=True)
    waiting = applied(stopped, register_broker(stopped, fenced_again))
    assert partition(waiting).leader == -1


@pytest.mark.parametrize(
    ("eligible", "last_known", "leader", "state"),
    [
        ([1], [1], 1, LeaderRecoveryState.RECOVERED),
        ([2, 1], [2], 1, LeaderRecoveryState.RECOVERED),
        ([], [1], 1, LeaderRecoveryState.RECOVERING),
        ([], [2], -1, LeaderRecoveryState.RECOVERED),
        ([2], [1], -1, LeaderRecoveryState.RECOVERED),
        ([], [], -1, LeaderRecoveryState.RECOVERED),
    ],
)
def test_where_the_isr_is_empty_an_eligible_replica_leads(
    eligible: list[int], last_known: list[int], leader: int, state: LeaderRecoveryState
) -> None:
    """Kafka empties the ISR when the last member stops, and remembers who may lead (KIP-966)."""
    image = with_topic(cluster(1, 2), "a", (2, 1))
    for broker_id in (1, 2):
        image = applied(image, fence_broker(image, broker_id, image.brokers[broker_id].epoch))
    topic = image.topic("a")
    assert topic is not None
    left = PartitionChangeRecord(
        partition_id=0,
        topic_id=topic.topic_id,
        isr=[],
        eligible_leader_replicas=eligible,
        last_known_elr=last_known,
    )
    image = applied(image, Result((left,), None))
    after = partition(applied(image, unfence_broker(image, 1, image.brokers[1].epoch)))
    assert (after.leader, after.leader_recovery_state) == (leader, state)
    if leader == 1:
        assert (after.isr, after.eligible_leader_replicas, after.last_known_elr) == ((1,), (), ())
    else:
        assert after == partition(image)


def test_after_an_unclean_stop_it_does_not_lead_where_a_peer_is_in_sync() -> None:
    image = with_topic(cluster(1, 2), "a", (1, 2))
    for broker_id in (2, 1):
        image = applied(image, fence_broker(image, broker_id, image.brokers[broker_id].epoch))
    topic = image.topic("a")
    assert topic is not None
    both = PartitionChangeRecord(partition_id=0, topic_id=topic.topic_id, isr=[1, 2])
    image = applied(image, Result((both,), None))
    assert (partition(image).leader, partition(image).isr) == (-1, (1, 2))
    after = applied(image, register_broker(image, registration(1, incarnation=2, fenced=False)))
    assert (partition(after).leader, partition(after).isr) == (-1, (2,))


def test_controlled_shutdown_moves_what_can_be_moved() -> None:
    image = with_topic(cluster(1, 2), "a", (1, 2), (1,))
    epoch = image.brokers[1].epoch
    after = applied(image, begin_controlled_shutdown(image, 1, epoch))
    assert after.brokers[1].in_controlled_shutdown
    assert partition(after, 0).leader == 2
    assert partition(after, 1).leader == 1
    assert begin_controlled_shutdown(after, 1, epoch).records == ()


def test_unregister() -> None:
    image = with_topic(cluster(1, 2), "a", (1, 2))
    after = applied(image, unregister_broker(image, 1))
    assert set(after.brokers) == {2}
    assert partition(after, 0).leader == 2
    with pytest.raises(BrokerIdNotRegisteredError):
        unregister_broker(after, 1)


def test_stale_epochs_are_refused() -> None:
    image = cluster(1)
    with pytest.raises(StaleBrokerEpochError):
        fence_broker(image, 1, image.brokers[1].epoch + 1)
    with pytest.raises(BrokerIdNotRegisteredError):
        unfence_broker(image, 2, 0)


@pytest.mark.parametrize(
    "bad",
    [
        registration(2, log_dirs=()),
        registration(2, log_dirs=(log_dir(2), log_dir(2))),
        registration(2, log_dirs=(log_dir(1),)),
        registration(2, log_dirs=(Uuid(bytes(15) + b"\x01"),)),
        registration(2, endpoints=()),
    ],
)
def test_registrations_that_contradict_themselves(bad: Registration) -> None:
    with pytest.raises(InvalidRequestError):
        register_broker(cluster(1), bad)


@pytest.mark.parametrize("features", [(), (("metadata.version", VersionRange(7, 29)),)])
def test_a_broker_must_support_the_metadata_version(
    features: tuple[tuple[str, VersionRange], ...],
) -> None:
    with pytest.raises(UnsupportedVersionError):
        register_broker(cluster(), registration(1, features=features))
