"""Nine consumers of three clients share one group while they and the broker come, go and die.

Checked all the time: a commit that was acknowledged is never lost, and committed offsets never go
back unless a client itself asks for that. Checked in the end: every acknowledged record was read
by some member, and all of it is committed. GROUP_SEED repeats the choice of victims.
"""

import os
import random
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from integration.broker_processes import BrokerProcess
from integration.conftest import StartBroker, create_topic
from integration.event_files import Event, TellingProcess
from tierbroker.groups.record_codec import OffsetKey, decode_key, decode_offset_value

ROUNDS = int(os.environ.get("GROUP_ROUNDS", "10"))
SEED = int(os.environ.get("GROUP_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
PARTITIONS = 24
CLIENTS = ("kafka-python", "aiokafka", "confluent-kafka")
MEMBERS_EACH = 3
CALM_S = (2.0, 4.0)
PROGRESS_TIMEOUT_S = 120.0
CATCH_UP_TIMEOUT_S = 180.0
LEAVE_TIMEOUT_S = 90.0
TOPIC, GROUP = "shared", "sharing"


class Member:
    """One consuming process, what it read, and what it had acknowledged."""

    def __init__(
        self, client: str, name: str, bootstrap: str, directory: Path, assignor: str
    ) -> None:
        command = [sys.executable, "-m", "integration.clients.group_member", client, bootstrap]
        command += [TOPIC, GROUP, name, assignor]
        self.client = client
        self.name = name
        self.latest: deque[Event] = deque(maxlen=8)
        """What it told last, for the report of a failure."""
        self.process = TellingProcess(name, command, directory / f"{name}.events")

    def new_events(self) -> list[Event]:
        events = self.process.new_events()
        self.latest.extend(events)
        return events


class Judge:
    """Everything that members told, held against what the broker says."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._read: dict[int, set[int]] = {number: set() for number in range(PARTITIONS)}
        self.reads = 0
        self.asked: set[tuple[int, int]] = set()
        """(partition, offset) of every commit that a member asked for."""
        self.acknowledged = dict.fromkeys(range(PARTITIONS), 0)
        """Highest acknowledged commit of each partition."""

    def listen(self, members: list[Member]) -> None:
        """Take up what the members told since the last time."""
        for member in members:
            for event in member.new_events():
                for partition, (first, last) in event.get("read", {}).items():
                    self._read[int(partition)].update(range(first, last + 1))
                    self.reads += last + 1 - first
                for partition, offset in event.get("committing", {}).items():
                    self.asked.add((int(partition), offset))
                for partition, offset in event.get("committed", {}).items():
                    number = int(partition)
                    self.acknowledged[number] = max(self.acknowledged[number], offset)

    def check_commits_survived(self) -> None:
        """Nothing that was acknowledged before now is behind what the broker has committed."""
        known = dict(self.acknowledged)
        committed = self.committed()
        lost = {p: (known[p], committed[p]) for p in known if committed[p] < known[p]}
        assert not lost, f"partition: (acknowledged, committed): {lost}"

    def committed(self) -> dict[int, int]:
        """Committed offset of each partition, 0 without one."""
        # Not by librdkafka: a broker that just started may answer NOT_COORDINATOR, and librdkafka
        # hands that answer to the consumer that an admin client does not have: a null pointer.
        deadline = time.monotonic() + PROGRESS_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                admin = KafkaAdminClient(bootstrap_servers=self._bootstrap)
            except KafkaError as error:
                print(f"committed offsets: {error!r}")
                time.sleep(0.2)
                continue
            try:
                found = admin.list_group_offsets(GROUP)[GROUP]
            except KafkaError as error:
                # The group's partition is being loaded, say: that is told as an error.
                print(f"committed offsets: {error!r}")
                time.sleep(0.2)
                continue
            finally:
                admin.close()
            known = {place.partition: max(value.offset, 0) for place, value in found.items()}
            return dict.fromkeys(range(PARTITIONS), 0) | known
        raise AssertionError("the committed offsets cannot be asked for")

    def read_to(self, partition: int) -> int:
        """The offset behind the last that a member read."""
        return max(self._read[partition], default=-1) + 1

    def check_all_read(self, written: dict[int, set[int]]) -> None:
        missing = {
            number: sorted(offsets - self._read[number])[:5]
            for number, offsets in written.items()
            if offsets - self._read[number]
        }
        assert not missing, f"never read, by partition: {missing}"

    def check_history(self) -> int:
        """In the group's own log no commit goes back but by a client's word; how many there are."""
        latest: dict[int, int] = {}
        count = 0
        for partition, offset in commit_history(self._bootstrap):
            count += 1
            assert (partition, offset) in self.asked, f"nobody asked for {offset} of {partition}"
            assert offset >= latest.get(partition, 0), (
                f"partition {partition} went back from {latest[partition]} to {offset}"
            )
            latest[partition] = offset
        return count


def commit_history(bootstrap: str) -> Iterator[tuple[int, int]]:
    """(partition, offset) of every commit of the group, in log order."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "none", "log_level": 0}
    consumer = Consumer({**settings, "enable.auto.commit": False, "enable.partition.eof": True})
    try:
        topic = consumer.list_topics("__consumer_offsets", timeout=20).topics["__consumer_offsets"]
        left = set(topic.partitions)
        consumer.assign([TopicPartition("__consumer_offsets", number, 0) for number in left])
        deadline = time.monotonic() + 60
        while left:
            assert time.monotonic() < deadline, f"no end of partitions {left}"
            message = consumer.poll(0.5)
            if message is None:
                continue
            if message.error() is not None:
                left.discard(message.partition())
                continue
            key = decode_key(message.key())
            if isinstance(key, OffsetKey) and key.group_id == GROUP and message.value():
                yield key.partition, decode_offset_value(message.value()).offset
    finally:
        consumer.close()


class Fire:
    """The members, the writer, and who falls next."""

    def __init__(
        self, broker: BrokerProcess, directory: Path, clients: tuple[str, ...], assignor: str
    ) -> None:
        self.broker = broker
        self.judge = Judge(broker.bootstrap)
        self._directory = directory
        self._assignor = assignor
        self._started = 0
        self.rng = random.Random(SEED)
        self.all: list[Member] = []
        self.members = [self._start(client) for _ in range(MEMBERS_EACH) for client in clients]
        command = [sys.executable, "-m", "integration.clients.steady_writer", "confluent-kafka"]
        command += [broker.bootstrap, TOPIC, "w"]
        self.writer = TellingProcess("writer", command, directory / "writer.events")
        self.written: dict[int, set[int]] = {number: set() for number in range(PARTITIONS)}

    def _start(self, client: str) -> Member:
        self._started += 1
        name = f"{client}-{self._started}"
        member = Member(client, name, self.broker.bootstrap, self._directory, self._assignor)
        self.all.append(member)
        return member

    def listen(self) -> None:
        for event in self.writer.new_events():
            self.written[event["partition"]].add(event["offset"])
        self.judge.listen(self.all)
        for member in self.members:
            member.process.check_alive()

    def wait_for_progress(self) -> None:
        """Return once the group read and committed more than before."""
        self.listen()
        reads, commits = self.judge.reads, sum(self.judge.acknowledged.values())
        deadline = time.monotonic() + PROGRESS_TIMEOUT_S
        while self.judge.reads == reads or sum(self.judge.acknowledged.values()) == commits:
            assert time.monotonic() < deadline, "the group does not get on"
            time.sleep(0.1)
            self.listen()

    def replace_one(self, *, kill: bool) -> None:
        """A member dies or leaves, and another one of its kind joins."""
        victim = self.members.pop(self.rng.randrange(len(self.members)))
        if kill:
            victim.process.kill()
        else:
            victim.process.terminate()
        self.members.append(self._start(victim.client))

    def calm(self) -> None:
        deadline = time.monotonic() + self.rng.uniform(*CALM_S)
        while time.monotonic() < deadline:
            time.sleep(0.1)
            self.listen()

    def end(self) -> None:
        for process in (self.writer, *(member.process for member in self.all)):
            if process.running:
                process.kill()


def run_under_fire(
    broker: BrokerProcess, directory: Path, clients: tuple[str, ...], assignor: str, rounds: int
) -> None:
    print(f"GROUP_SEED={SEED} GROUP_ROUNDS={rounds}")
    create_topic(broker.bootstrap, TOPIC, PARTITIONS)
    fire = Fire(broker, directory, clients, assignor)
    try:
        for number in range(rounds):
            fire.wait_for_progress()
            fire.replace_one(kill=number % 2 == 0)
            fire.calm()
            fire.judge.check_commits_survived()
            broker.kill()
            fire.listen()
            broker.start()
            fire.judge.check_commits_survived()
        fire.wait_for_progress()
        fire.writer.kill()
        fire.listen()
        wait_for_the_end(fire)
        fire.judge.check_all_read(fire.written)
        leave_in_order(fire)
        print(
            f"{sum(map(len, fire.written.values()))} records written, {fire.judge.reads} read, "
            f"{fire.judge.check_history()} commits, {len(fire.all)} members"
        )
    finally:
        fire.end()


def wait_for_the_end(fire: Fire) -> None:
    """Until the group has committed all that was acknowledged to the writer."""
    deadline = time.monotonic() + CATCH_UP_TIMEOUT_S
    judge = fire.judge
    ends = {p: max(offsets, default=-1) + 1 for p, offsets in fire.written.items()}
    while True:
        committed = judge.committed()
        # After the question: what is committed was told to be read before.
        fire.listen()
        behind = {
            p: (committed[p], judge.read_to(p), end)
            for p, end in ends.items()
            if committed[p] < end
        }
        if not behind:
            return
        assert time.monotonic() < deadline, (
            f"partition: (committed, read to, end): {behind}\n{state_of(fire)}"
        )
        time.sleep(0.5)


def state_of(fire: Fire) -> str:
    """Who owns what in the broker's eyes, and what each member told last."""
    admin = AdminClient({"bootstrap.servers": fire.broker.bootstrap, "log_level": 0})
    described = admin.describe_consumer_groups([GROUP])[GROUP].result(timeout=30)
    lines = [f"the group is {described.state.name}"]
    for owner in described.members:
        owned = sorted(place.partition for place in owner.assignment.topic_partitions)
        lines.append(f"{owner.client_id} ({owner.member_id}) owns {owned}")
    for member in fire.members:
        lines += [f"{member.name} told last:", *(f"  {event}" for event in member.latest)]
    return "\n".join(lines)


def leave_in_order(fire: Fire) -> None:
    """Everybody leaves; then the group is empty once the session of whoever was killed is over."""
    deadline = time.monotonic() + PROGRESS_TIMEOUT_S
    while silent := [member.name for member in fire.members if not member.latest]:
        # One that is still about to start does not hear SIGTERM as it should.
        assert time.monotonic() < deadline, f"nothing was heard of {silent}"
        time.sleep(0.1)
        fire.listen()
    for member in fire.members:
        member.process.terminate()
    for member in fire.members:
        code = member.process.wait(LEAVE_TIMEOUT_S)
        assert code == 0, f"{member.name} ended with {code}: {member.process.errors()}"
    # The writer's last records may be in the log without a word of it having come back; a member
    # that read one of them asked for its commit after it was listened to the last time.
    fire.judge.listen(fire.all)
    admin = AdminClient({"bootstrap.servers": fire.broker.bootstrap, "log_level": 0})
    deadline = time.monotonic() + LEAVE_TIMEOUT_S
    while True:
        described = admin.describe_consumer_groups([GROUP])[GROUP].result(timeout=30)
        if described.state.name == "EMPTY":
            return
        assert time.monotonic() < deadline, f"{described.state}: {described.members}"
        time.sleep(0.2)


@pytest.fixture
def own_broker(start_broker: StartBroker) -> BrokerProcess:
    return start_broker()


@pytest.mark.timeout(600 + ROUNDS * 30)
def test_three_clients_share_a_group(own_broker: BrokerProcess, tmp_path: Path) -> None:
    run_under_fire(own_broker, tmp_path, CLIENTS, "range", ROUNDS)


@pytest.mark.timeout(600 + ROUNDS * 10)
def test_two_clients_share_a_group_cooperatively(own_broker: BrokerProcess, tmp_path: Path) -> None:
    """Members keep what they have while others rebalance (KIP-429)."""
    clients = ("kafka-python", "confluent-kafka")
    run_under_fire(own_broker, tmp_path, clients, "cooperative-sticky", max(ROUNDS // 3, 1))
