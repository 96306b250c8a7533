"""The driver of a quorum of one on an in-memory log: start, decide, commit, fail, restart."""

import random
from collections.abc import Callable

import pytest

from tests.raft_memory import MemoryRaftStorage, RecordingTransport
from tests.tier_state import UploadPlan, segment
from tierbroker.base.clock import ManualClock
from tierbroker.base.errors import (
    InvalidTopicError,
    KafkaStorageError,
    NotControllerError,
    PolicyViolationError,
)
from tierbroker.base.executor import InlineExecutor, ManualExecutor
from tierbroker.base.ids import Uuid
from tierbroker.base.pending import Pending
from tierbroker.controller.config import ControllerConfig
from tierbroker.controller.driver import MetadataDriver
from tierbroker.controller.errors import MetadataCorruptError
from tierbroker.controller.raft.types import OffsetAndEpoch, ReplicaKey, Voter, VoterSet
from tierbroker.controller.records.begin_transaction_record import BeginTransactionRecord
from tierbroker.controller.records.feature_level_record import FeatureLevelRecord
from tierbroker.controller.records.partition_record import PartitionRecord
from tierbroker.controller.records.topic_record import TopicRecord
from tierbroker.controller.state.changes import Changes
from tierbroker.controller.state.codec import encode_records
from tierbroker.controller.state.image import MetadataImage
from tierbroker.controller.state.result import Result
from tierbroker.controller.state.tier import begin_uploads, bind_store, commit_upload
from tierbroker.records.tier.segment import ObjectKind

LOCAL = ReplicaKey(1, Uuid(b"d" * 16))
BOOTSTRAP = (FeatureLevelRecord("metadata.version", 30),)

Decide = Callable[[MetadataImage], Result[str]]


def make_driver(
    storage: MemoryRaftStorage,
    executor: InlineExecutor | ManualExecutor | None = None,
    config: ControllerConfig | None = None,
    failures: list[BaseException] | None = None,
) -> MetadataDriver:
    return MetadataDriver(
        local=LOCAL,
        default_voters=VoterSet((Voter(LOCAL),)),
        storage=storage,
        transport=RecordingTransport(),
        executor=InlineExecutor() if executor is None else executor,
        clock=ManualClock(),
        rng=random.Random(1),
        bootstrap=BOOTSTRAP,
        config=config,
        on_failure=None if failures is None else failures.append,
    )


def topic_id(name: str) -> Uuid:
    return Uuid(name.encode().ljust(16, b"."))


def create(name: str) -> Decide:
    def decide(image: MetadataImage) -> Result[str]:
        if image.topic(name) is not None:
            raise InvalidTopicError(f"{name} exists")
        return Result((TopicRecord(name, topic_id(name)),), f"created {name}")

    return decide


def names(image: MetadataImage) -> set[str]:
    return set(image.topics.by_name)


def started(storage: MemoryRaftStorage, **kwargs: object) -> MetadataDriver:
    driver = make_driver(storage, **kwargs)  # type: ignore[arg-type]
    assert driver.start().done
    return driver


def test_an_empty_log_is_bootstrapped() -> None:
    storage = MemoryRaftStorage()
    driver = make_driver(storage)
    image = driver.start().result()
    assert image.features.metadata_version == 30
    assert image.offset == 3  # LeaderChange, KRaftVersion, Voters, then the bootstrap
    assert driver.active
    assert driver.deadline_ms is None
    assert storage.state_saves == 1


def test_a_topic_survives_a_restart() -> None:
    storage = MemoryRaftStorage()
    driver = started(storage)
    assert driver.submit(create("a")).result() == "created a"
    assert driver.image.topic("a") is not None
    assert driver.stop().done
    assert storage.closed
    again = started(storage.restart())
    assert names(again.image) == {"a"}
    assert again.core.epoch == 2
    assert again.image.topic("a") == driver.image.topic("a")


def test_unflushed_decisions_do_not_resolve_and_do_not_survive() -> None:
    executor = ManualExecutor()
    storage = MemoryRaftStorage(executor)
    driver = make_driver(storage, executor)
    start = driver.start()
    executor.run_all()
    assert start.done
    pending = driver.submit(create("a"))
    assert not pending.done
    assert names(driver.image) == set()
    again = started(storage.crash())
    assert names(again.image) == set()
    executor.run_all()
    assert pending.result() == "created a"
    assert names(driver.image) == {"a"}


def test_decisions_in_flight_see_each_other_and_share_a_flush() -> None:
    executor = ManualExecutor()
    storage = MemoryRaftStorage(executor)
    driver = make_driver(storage, executor)
    driver.start()
    executor.run_all()
    before = storage.flushes
    pendings = [driver.submit(create(name)) for name in "abcde"]
    twice = driver.submit(create("c"))
    assert isinstance(twice.error, InvalidTopicError)
    order: list[str] = []
    for pending in pendings:
        pending.on_done(lambda done: order.append(done.result()))
    executor.run_all()
    assert order == [f"created {name}" for name in "abcde"]
    assert storage.flushes - before == 2  # the first one's, and one for all the others


def test_a_read_waits_for_what_it_saw() -> None:
    executor = ManualExecutor()
    storage = MemoryRaftStorage(executor)
    driver = make_driver(storage, executor)
    driver.start()
    executor.run_all()
    read: Decide = lambda image: Result((), ",".join(sorted(names(image))))  # noqa: E731
    assert driver.submit(read).result() == ""
    driver.submit(create("a"))
    pending = driver.submit(read)
    assert not pending.done
    executor.run_all()
    assert pending.result() == "a"


def test_listeners_hear_before_the_submitter() -> None:
    driver = started(MemoryRaftStorage())
    heard: list[tuple[list[str], int]] = []

    def listener(changes: Changes, image: MetadataImage) -> None:
        heard.append(([topic.name for topic in changes.topics_created], image.offset))

    driver.subscribe(listener)
    driver.submit(create("a"))
    driver.submit(create("b"))
    assert heard == [(["a"], 4), (["b"], 5)]


def test_the_submitter_hears_when_all_listeners_are_done_and_later_commits_do_not_wait() -> None:
    driver = started(MemoryRaftStorage())
    works: list[Pending[None]] = []

    def listener(changes: Changes, image: MetadataImage) -> Pending[None]:
        works.append(Pending())
        return works[-1]

    driver.subscribe(lambda changes, image: None)
    driver.subscribe(listener)
    driver.subscribe(listener)
    first, second = driver.submit(create("a")), driver.submit(create("b"))
    assert names(driver.image) == {"a", "b"}
    assert len(works) == 4
    works[0].resolve(None)
    assert not first.done
    works[1].resolve(None)
    assert first.result() == "created a"
    assert not second.done
    for work in works[2:]:
        work.resolve(None)
    assert second.result() == "created b"


def test_a_submitter_may_submit_from_its_callback() -> None:
    driver = started(MemoryRaftStorage())
    results: list[str] = []
    driver.submit(create("a")).on_done(
        lambda _: driver.submit(create("b")).on_done(lambda done: results.append(done.result()))
    )
    assert results == ["created b"]


def test_a_refused_append_fails_the_decision_and_the_log_goes_on() -> None:
    storage = MemoryRaftStorage()
    driver = started(storage)
    storage.fail_next("append", OSError(28, "No space left on device"))
    refused = driver.submit(create("a"))
    assert isinstance(refused.error, KafkaStorageError)
    assert driver.submit(create("a")).result() == "created a"
    again = started(storage.restart())
    assert names(again.image) == {"a"}


def test_a_refused_append_spares_what_is_in_flight() -> None:
    executor = ManualExecutor()
    storage = MemoryRaftStorage(executor)
    driver = make_driver(storage, executor)
    driver.start()
    executor.run_all()
    first = driver.submit(create("a"))
    storage.fail_next("append", OSError(28, "No space left on device"))
    refused = driver.submit(create("b"))
    third = driver.submit(create("c"))
    executor.run_all()
    assert first.result() == "created a"
    assert isinstance(refused.error, KafkaStorageError)
    assert third.result() == "created c"
    assert names(driver.image) == {"a", "c"}


def test_a_failed_flush_is_final() -> None:
    storage = MemoryRaftStorage()
    failures: list[BaseException] = []
    driver = started(storage, failures=failures)
    storage.fail_next("flush", OSError(5, "Input/output error"))
    pending = driver.submit(create("a"))
    assert isinstance(pending.error, KafkaStorageError)
    assert len(failures) == 1
    assert isinstance(driver.submit(create("b")).error, KafkaStorageError)
    assert not driver.active
    assert driver.stop().done


def test_a_failed_quorum_state_fails_the_start() -> None:
    storage = MemoryRaftStorage()
    storage.fail_next("quorum-state", OSError(5, "Input/output error"))
    driver = make_driver(storage)
    assert isinstance(driver.start().error, KafkaStorageError)


def test_stop_finishes_what_is_under_way() -> None:
    executor = ManualExecutor()
    storage = MemoryRaftStorage(executor)
    driver = make_driver(storage, executor)
    driver.start()
    executor.run_all()
    pending = driver.submit(create("a"))
    stopped = driver.stop()
    assert not stopped.done
    assert isinstance(driver.submit(create("b")).error, NotControllerError)
    executor.run_all()
    assert pending.result() == "created a"
    assert stopped.done


def test_too_many_records_at_once_are_refused_and_may_be_split() -> None:
    config = ControllerConfig(max_records_per_result=3)
    storage = MemoryRaftStorage()
    driver = started(storage, config=config)
    records = tuple(TopicRecord(name, topic_id(name)) for name in "abcdefg")
    refused = driver.submit(lambda image: Result(records, "all"))
    assert isinstance(refused.error, PolicyViolationError)
    batches = len(storage.batches)
    assert driver.submit(lambda image: Result(records, "all", atomic=False)).result() == "all"
    assert len(storage.batches) - batches == 3
    assert names(driver.image) == set("abcdefg")


def test_a_wrong_record_never_reaches_the_log() -> None:
    storage = MemoryRaftStorage()
    driver = started(storage)
    end = storage.log_end_offset
    twice = (TopicRecord("a", topic_id("a")), TopicRecord("a", topic_id("b")))
    with pytest.raises(MetadataCorruptError, match="exists"):
        driver.submit(lambda image: Result(twice, ""))
    assert storage.log_end_offset == end
    assert driver.submit(create("a")).result() == "created a"


def test_snapshots_are_written_and_replace_old_log() -> None:
    storage = MemoryRaftStorage()
    config = ControllerConfig(snapshot_interval_records=10, snapshot_batch_records=3)
    driver = started(storage, config=config)
    for number in range(40):
        driver.submit(create(f"topic{number}")).result()
    assert len(storage.finished) == 2
    assert storage.log_start_offset == storage.snapshots()[0].offset > 0
    again = started(storage.restart())
    assert again.image.topics == driver.image.topics
    assert again.image.features == driver.image.features
    assert again.core.voters == driver.core.voters
    for number in range(40, 80):
        again.submit(create(f"topic{number}")).result()
    assert len(again.image.topics) == 80


def test_the_tier_survives_restarts_and_snapshots() -> None:
    """Large records do not share a batch; offsets of intents are those of their records."""
    storage = MemoryRaftStorage()
    config = ControllerConfig(snapshot_interval_records=3000)
    driver = started(storage, config=config)
    made = PartitionRecord(0, topic_id("a"), replicas=[1], isr=[1], leader=1, leader_epoch=0)
    driver.submit(lambda _: Result((TopicRecord("a", topic_id("a")), made), None)).result()
    driver.submit(lambda image: bind_store(image, topic_id("store"), topic_id("life"))).result()
    for number in range(2000):
        plan = UploadPlan(topic_id("a"), 0, 0, number, number, ObjectKind.SEGMENT)
        (intent,) = driver.submit(lambda image, plan=plan: begin_uploads(image, [plan])).result()
        assert intent.intent_offset == driver.image.offset
        done = segment(number, number, intent.intent_offset, leader_epoch=0)
        driver.submit(lambda i, done=done: commit_upload(i, topic_id("a"), 0, done)).result()
    driver.stop()
    assert len(storage.finished) == 1
    again = started(storage.restart())
    assert again.image.tier == driver.image.tier
    tier = again.image.tier.partition(topic_id("a"), 0)
    assert tier is not None
    assert (len(tier.segments), tier.end_offset) == (2000, 1999)


def test_a_snapshot_does_not_hold_up_decisions() -> None:
    executor = ManualExecutor()
    storage = MemoryRaftStorage(executor)
    config = ControllerConfig(snapshot_interval_records=10, snapshot_batch_records=1)
    driver = make_driver(storage, executor, config)
    driver.start()
    executor.run_all()
    pendings = [driver.submit(create(f"t{number}")) for number in range(10)]
    while not storage.finished:
        pendings.append(driver.submit(create(f"late{len(pendings)}")))
        executor.run_one()
    executor.run_all()
    assert all(pending.done for pending in pendings)
    again = started(storage.restart())
    assert names(again.image) == names(driver.image)


def test_a_failed_snapshot_is_tried_again() -> None:
    storage = MemoryRaftStorage()
    driver = started(storage, config=ControllerConfig(snapshot_interval_records=5))
    storage.fail_next("snapshot", OSError(28, "No space left on device"))
    for number in range(20):
        driver.submit(create(f"t{number}")).result()
    assert driver.snapshots.failures == 1
    assert storage.abandoned == 1
    assert storage.finished


def test_stop_abandons_a_snapshot() -> None:
    executor = ManualExecutor()
    storage = MemoryRaftStorage(executor)
    config = ControllerConfig(snapshot_interval_records=5, snapshot_batch_records=1)
    driver = make_driver(storage, executor, config)
    driver.start()
    executor.run_all()
    for number in range(5):
        driver.submit(create(f"t{number}"))
    executor.run_one()
    executor.run_one()
    stopped = driver.stop()
    executor.run_all()
    assert stopped.done
    assert storage.finished == {}
    assert storage.abandoned == 1


def test_a_cut_snapshot_is_refused() -> None:
    storage = MemoryRaftStorage()
    driver = started(storage, config=ControllerConfig(snapshot_interval_records=5))
    for number in range(5):
        driver.submit(create(f"t{number}")).result()
    ((snapshot, data),) = storage.finished.items()
    storage.finished[snapshot] = data[:-75]
    with pytest.raises(MetadataCorruptError, match="cut short"):
        make_driver(storage.restart()).start()


def test_a_log_that_starts_after_a_gap_is_refused() -> None:
    storage = MemoryRaftStorage()
    driver = started(storage)
    driver.submit(create("a")).result()
    storage.delete_before(OffsetAndEpoch(3, 1))
    with pytest.raises(MetadataCorruptError, match="no snapshot ends there"):
        make_driver(storage.restart()).start()


def test_an_open_transaction_of_a_lost_leader_is_taken_back() -> None:
    storage = MemoryRaftStorage()
    driver = started(storage)
    driver.core.propose(
        encode_records(
            [BeginTransactionRecord("half"), TopicRecord("ghost", topic_id("ghost"))], 30
        )
    )
    driver.tick()
    again = started(storage.restart())
    assert names(again.image) == set()
    assert again.submit(create("a")).result() == "created a"
    third = started(storage.crash())
    assert names(third.image) == set()
