"""Transactions: started, filled, committed and aborted in both protocols, and who may do what."""

import time
from collections.abc import Callable
from typing import Any

from integration.differential.script import ALL, Connection, Run, between, since, until
from integration.scenarios.group_member import coordinated, stable
from integration.scenarios.requests import fetched, offsets_at, produced, records
from tierbroker.wire.api_keys import ApiKey as Api

COMMITTED = 1
"""isolation.level"""
LATEST = -1
NEW_PROTOCOL = 5
"""EndTxn from here on is KIP-890's."""
_CONCURRENT = 51
_WAIT_S = 60.0
_ATTEMPTS = 50
"""How often a request is sent behind an EndTxn until it arrives before the markers are written."""


class Producer:
    """A transactional id with the producer id and epoch that it has now."""

    def __init__(self, run: Run, name: str, timeout_ms: int = 60_000) -> None:
        self.run = run
        self.id = run.name(name)
        self.timeout_ms = timeout_ms
        self.client = run.connect()
        self.client.settled(Api.FIND_COORDINATOR, 3, key=self.id, key_type=1)
        self.start()

    def start(self, version: int = 4) -> Any:
        """InitProducerId until nothing of an earlier transaction is under way."""
        own = self.run.setup_connection()
        deadline = time.monotonic() + _WAIT_S
        while True:
            answer = own.settled(
                Api.INIT_PRODUCER_ID,
                version,
                transactional_id=self.id,
                transaction_timeout_ms=self.timeout_ms,
            )
            if answer.error_code != _CONCURRENT or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        assert answer.error_code == 0, answer
        self.producer, self.epoch = answer.producer_id, answer.producer_epoch
        return answer

    @property
    def who(self) -> dict[str, Any]:
        return {
            "transactional_id": self.id,
            "producer_id": self.producer,
            "producer_epoch": self.epoch,
        }

    def add(self, topic: str, *partitions: int, version: int = 3) -> Any:
        """AddPartitionsToTxn of a client, until the transaction before is over."""
        asked = [{"name": topic, "partitions": list(partitions)}]
        return self.client.call(
            Api.ADD_PARTITIONS_TO_TXN,
            version,
            v3_and_below_transactional_id=self.id,
            v3_and_below_producer_id=self.producer,
            v3_and_below_producer_epoch=self.epoch,
            v3_and_below_topics=asked,
        )

    def send(self, topic: str, value: bytes, sequence: int = 0, version: int = 9) -> Any:
        batch = records(
            self.run,
            [value],
            producer_id=self.producer,
            producer_epoch=self.epoch,
            base_sequence=sequence,
            transactional=True,
        )
        body = produced(topic, batch, transactional_id=self.id)
        return self.client.call(Api.PRODUCE, version, **body)

    def end(self, *, commit: bool, version: int = 3) -> Any:
        """EndTxn; afterwards everything of it is over, and the epoch is the one that it gave."""
        answer = self.client.call(Api.END_TXN, version, **self.who, committed=commit)
        if version >= NEW_PROTOCOL and answer.error_code == 0:
            self.producer, self.epoch = answer.producer_id, answer.producer_epoch
        self.wait()
        return answer

    def wait(self) -> None:
        """Until the markers are written."""
        own = self.run.setup_connection()
        deadline = time.monotonic() + _WAIT_S
        while time.monotonic() < deadline:
            answer = own.settled(Api.DESCRIBE_TRANSACTIONS, 0, transactional_ids=[self.id])
            if not answer.transaction_states[0].transaction_state.startswith("Prepare"):
                return
            time.sleep(0.02)
        raise AssertionError(f"{self.id} does not come to an end")


def _read(client: Connection, topic: str) -> None:
    client.call(Api.FETCH, 11, **fetched(topic, isolation_level=COMMITTED))
    client.call(Api.LIST_OFFSETS, 5, **offsets_at(topic, LATEST, isolation_level=COMMITTED))


def old_protocol(run: Run) -> None:
    """Each partition is added before it is written to; every version of what that takes."""
    topic = run.topic("old", partitions=2)
    for version in run.versions(Api.END_TXN, until(NEW_PROTOCOL - 1)):
        producer = Producer(run, f"old-{version}")
        for add in run.versions(Api.ADD_PARTITIONS_TO_TXN, until(3)):
            producer.add(topic, 0, version=add)
        producer.send(topic, b"%d" % version)
        _read(producer.client, topic)
        producer.end(commit=version % 2 == 0, version=version)
        _read(producer.client, topic)


def new_protocol(run: Run) -> None:
    """Producing adds the partition, every end brings a new epoch, and may be asked for twice."""
    topic = run.topic("new")
    topic_id = run.topic_id(topic)
    producer = Producer(run, "new")
    for number in range(4):
        batch = records(
            run,
            [b"%d" % number],
            producer_id=producer.producer,
            producer_epoch=producer.epoch,
            base_sequence=0,
            transactional=True,
        )
        if number % 2:
            body = produced("", batch, transactional_id=producer.id)
            body["topic_data"][0]["topic_id"] = topic_id
            producer.client.call(Api.PRODUCE, 13, **body)
        else:
            body = produced(topic, batch, transactional_id=producer.id)
            producer.client.call(Api.PRODUCE, 12, **body)
        before = producer.who
        producer.end(commit=number < 2, version=NEW_PROTOCOL)
        run.note("the same end once more")
        producer.client.call(Api.END_TXN, NEW_PROTOCOL, **before, committed=number < 2)
        run.note("the other end")
        producer.client.call(Api.END_TXN, NEW_PROTOCOL, **before, committed=number >= 2)
        _read(producer.client, topic)
    run.note("nothing to end")
    producer.end(commit=False, version=NEW_PROTOCOL)
    producer.end(commit=True, version=NEW_PROTOCOL)


def nothing_open(run: Run) -> None:
    """Ends and batches without a transaction, of the old protocol."""
    topic = run.topic("nothing")
    producer = Producer(run, "nothing")
    for version in run.versions(Api.END_TXN, until(NEW_PROTOCOL - 1)):
        producer.client.call(Api.END_TXN, version, **producer.who, committed=True)
    run.note("a batch for a partition that was not added")
    for version in (9, 11):
        producer.send(topic, b"unadded", version=version)
    producer.add(topic, 0)
    producer.send(topic, b"added")
    producer.end(commit=True)
    run.note("committed twice, then aborted")
    producer.client.call(Api.END_TXN, 3, **producer.who, committed=True)
    producer.client.call(Api.END_TXN, 3, **producer.who, committed=False)


def strangers(run: Run) -> None:
    """Ids and epochs that are not the coordinator's, and an epoch that was taken away."""
    topic = run.topic("strangers")
    producer = Producer(run, "strangers")
    client = producer.client
    asked = [{"name": topic, "partitions": [0]}]
    for wrong in (
        {"transactional_id": "nobody"},
        {"transactional_id": ""},
        {"producer_id": producer.producer + 99_999},
        {"producer_epoch": producer.epoch + 1},
    ):
        who = {**producer.who, **wrong}
        run.note(f"a wrong {next(iter(wrong))}")
        client.call(Api.END_TXN, ALL, **who, committed=True)
        client.call(Api.ADD_OFFSETS_TO_TXN, ALL, **who, group_id="strangers")
        fields = {f"v3_and_below_{name}": value for name, value in who.items()}
        for version in run.versions(Api.ADD_PARTITIONS_TO_TXN, until(3)):
            client.call(Api.ADD_PARTITIONS_TO_TXN, version, **fields, v3_and_below_topics=asked)
    old = dict(producer.who)
    producer.start()
    run.note("the one who was there before")
    client.call(Api.END_TXN, ALL, **old, committed=True)
    producer.epoch = old["producer_epoch"]
    producer.add(topic, 0)


def partitions(run: Run) -> None:
    """What may be added: unknown ones spoil the rest; brokers ask for several ids at once."""
    topic = run.topic("parts", partitions=2)
    producer = Producer(run, "parts")
    client = producer.client
    asked = [{"name": topic, "partitions": [0, 7]}, {"name": "no-such", "partitions": [0]}]
    client.call(
        Api.ADD_PARTITIONS_TO_TXN,
        until(3),
        **{f"v3_and_below_{name}": value for name, value in producer.who.items()},
        v3_and_below_topics=asked,
    )
    for verify in (True, False, True):
        run.note("only asked" if verify else "added")
        both = [
            {**producer.who, "verify_only": verify, "topics": [{"name": topic, "partitions": [0]}]}
        ]
        client.call(Api.ADD_PARTITIONS_TO_TXN, since(4), transactions=both)
    producer.end(commit=False)


def offsets(run: Run) -> None:
    """Offsets of a transaction count when it is committed; until then they are unstable."""
    topic = run.topic("read")
    for version in run.versions(Api.TXN_OFFSET_COMMIT):
        group = coordinated(run, f"group-{version}")
        producer = Producer(run, f"offsets-{version}")
        client = producer.client
        if version < NEW_PROTOCOL:
            add = min(version, 4)
            client.call(Api.ADD_OFFSETS_TO_TXN, add, **producer.who, group_id=group)
        committed = {
            "partition_index": 0,
            "committed_offset": 5 + version,
            "committed_metadata": "in a transaction",
        }
        body = {
            **producer.who,
            "group_id": group,
            "topics": [{"name": topic, "partitions": [committed]}],
        }
        client.call(Api.TXN_OFFSET_COMMIT, version, **body)
        asked = [{"name": topic, "partition_indexes": [0]}]
        for only_stable in (False, True):
            fields = {"group_id": group, "topics": asked, "require_stable": only_stable}
            client.call(Api.OFFSET_FETCH, 7, **fields)
        if version >= 3:
            run.note("a member that nobody knows")
            client.call(
                Api.TXN_OFFSET_COMMIT, version, **{**body, "member_id": "x", "generation_id": 3}
            )
        end = NEW_PROTOCOL if version >= NEW_PROTOCOL else 3
        producer.end(commit=version % 2 == 0, version=end)
        client.call(Api.OFFSET_FETCH, 7, group_id=group, topics=asked, require_stable=True)
    run.note("offsets without AddOffsetsToTxn")
    producer = Producer(run, "offsets-added-later")
    group = coordinated(run, "unadded")
    body = {**producer.who, "group_id": group, "topics": body["topics"]}
    producer.client.call(Api.TXN_OFFSET_COMMIT, between(2, 4), **body)


def timeouts(run: Run) -> None:
    """Those that a transaction cannot have."""
    client = run.connect()
    name = run.name("timeouts")
    client.settled(Api.FIND_COORDINATOR, 3, key=name, key_type=1)
    for timeout_ms in (0, -1, 900_001, 2**31 - 1):
        client.call(
            Api.INIT_PRODUCER_ID, ALL, transactional_id=name, transaction_timeout_ms=timeout_ms
        )


def described(run: Run) -> None:
    """Nobody, an empty one, and one with a partition; lists with filters."""
    topic = run.topic("described")
    producer = Producer(run, "described")
    client = producer.client
    client.call(Api.DESCRIBE_TRANSACTIONS, ALL, transactional_ids=["nobody", ""])
    run.note("no transaction yet")
    client.call(Api.DESCRIBE_TRANSACTIONS, ALL, transactional_ids=[producer.id])
    mine = {"producer_id_filters": [producer.producer]}
    for states in ([], ["Empty"], ["Ongoing"], ["nonsense"]):
        client.call(Api.LIST_TRANSACTIONS, ALL, state_filters=states, **mine)
    client.call(Api.LIST_TRANSACTIONS, since(1), duration_filter=3_600_000, **mine)
    client.call(Api.LIST_TRANSACTIONS, since(2), transactional_id_pattern="desc.*", **mine)
    client.call(Api.LIST_TRANSACTIONS, since(2), transactional_id_pattern="[", **mine)
    producer.add(topic, 0)
    client.call(Api.LIST_TRANSACTIONS, ALL, state_filters=["Ongoing"], **mine)
    producer.end(commit=True)
    client.call(Api.LIST_TRANSACTIONS, ALL, **mine)


def markers(run: Run) -> None:
    """Who writes them by hand ends what a partition has open."""
    topic = run.topic("marked")
    for version in run.versions(Api.WRITE_TXN_MARKERS):
        producer = Producer(run, f"marked-{version}")
        producer.add(topic, 0)
        producer.send(topic, b"%d" % version)
        marker = {
            "producer_id": producer.producer,
            "producer_epoch": producer.epoch,
            "transaction_result": False,
            "topics": [
                {"name": topic, "partition_indexes": [0, 9]},
                {"name": "no-such", "partition_indexes": [0]},
            ],
            "coordinator_epoch": 3,
        }
        producer.client.call(Api.WRITE_TXN_MARKERS, version, markers=[marker])
        _read(producer.client, topic)
        run.note("of a coordinator that is none any more")
        stale = {**marker, "coordinator_epoch": 1}
        producer.client.call(Api.WRITE_TXN_MARKERS, version, markers=[stale])


def internal_topics(run: Run) -> None:
    """Clients may not add the brokers' own topics themselves; brokers may, in batches."""
    topic = run.topic("beside")
    group = coordinated(run, "internal")
    producer = Producer(run, "internal")
    for name in ("__consumer_offsets", "__transaction_state"):
        run.note("alone")
        for version in run.versions(Api.ADD_PARTITIONS_TO_TXN, until(3)):
            producer.add(name, 0, version=version)
        run.note("a partition that it does not have")
        producer.add(name, 9999)
        run.note("beside one that may be added")
        asked = [{"name": topic, "partitions": [0]}, {"name": name, "partitions": [0, 1]}]
        own = {f"v3_and_below_{field}": value for field, value in producer.who.items()}
        producer.client.call(Api.ADD_PARTITIONS_TO_TXN, until(3), **own, v3_and_below_topics=asked)
        for verify in (True, False, True):
            run.note(f"by a broker, {'only asked' if verify else 'added'}")
            of_broker = {**producer.who, "verify_only": verify, "topics": asked}
            producer.client.call(Api.ADD_PARTITIONS_TO_TXN, since(4), transactions=[of_broker])
        producer.end(commit=False)
    run.note("the way for clients to add the offsets of a group")
    producer.client.call(Api.ADD_OFFSETS_TO_TXN, 3, **producer.who, group_id=group)
    producer.end(commit=True)


def _behind_an_end(
    producer: Producer, topic: str, end: int, key: Api, version: int, body: Callable[[], Any]
) -> None:
    """A commit and at once a request, on one connection; anew where the markers were faster.

    `body` is asked before the commit. Only the second request is put down.
    """
    note = producer.run.take_note()
    own = producer.run.setup_connection()
    for _ in range(_ATTEMPTS):
        asked = [{"name": topic, "partitions": list(range(20))}]
        batch = [{**producer.who, "verify_only": False, "topics": asked}]
        own.call(Api.ADD_PARTITIONS_TO_TXN, 4, transactions=batch)
        fields = body()
        ending = producer.client.send(Api.END_TXN, end, **producer.who, committed=True)
        sent = producer.client.send(key, version, **fields)
        ended, _plain = ending.receive()
        assert ended.error_code == 0, ended
        _answer, plain = sent.receive()
        producer.wait()
        # A new epoch, and what the request may have begun is aborted.
        producer.start()
        if _CONCURRENT in _codes_in(plain):
            break
    producer.run.note(note)
    sent.record(plain)


def _codes_in(plain: Any) -> list[int]:
    if isinstance(plain, dict):
        own = [value for name, value in plain.items() if name.endswith("error_code")]
        return own + [code for value in plain.values() for code in _codes_in(value)]
    return [code for item in plain for code in _codes_in(item)] if isinstance(plain, list) else []


def while_markers_are_written(run: Run) -> None:
    """What a producer asks for before its transaction before is over."""
    topic = run.topic("busy", partitions=20)
    group = coordinated(run, "busy")
    producer = Producer(run, "busy")
    for end in run.versions(Api.END_TXN):
        for commit in (True, False):
            run.note(f"{'the same' if commit else 'the other'} end behind EndTxn v{end}")
            _behind_an_end(
                producer,
                topic,
                end,
                Api.END_TXN,
                end,
                lambda commit=commit: {**producer.who, "committed": commit},
            )
    asked = [{"name": topic, "partitions": [0]}]
    for version in run.versions(Api.ADD_PARTITIONS_TO_TXN, until(3)):
        _behind_an_end(
            producer,
            topic,
            3,
            Api.ADD_PARTITIONS_TO_TXN,
            version,
            lambda: {
                **{f"v3_and_below_{name}": value for name, value in producer.who.items()},
                "v3_and_below_topics": asked,
            },
        )
    for version in run.versions(Api.ADD_OFFSETS_TO_TXN):
        _behind_an_end(
            producer,
            topic,
            3,
            Api.ADD_OFFSETS_TO_TXN,
            version,
            lambda: {**producer.who, "group_id": group},
        )
    for version in run.versions(Api.INIT_PRODUCER_ID):
        _behind_an_end(
            producer,
            topic,
            3,
            Api.INIT_PRODUCER_ID,
            version,
            lambda: {"transactional_id": producer.id, "transaction_timeout_ms": 60_000},
        )


def offsets_of_a_member(run: Run) -> None:
    """Of a classic group: with its generation, an older one, a later one, and without its id."""
    topic = run.topic("orders")
    committed = {"partition_index": 0, "committed_offset": 5, "committed_metadata": ""}
    topics = [{"name": topic, "partitions": [committed]}]
    for version in run.versions(Api.TXN_OFFSET_COMMIT, since(3)):
        member = stable(run, f"of-a-member-{version}", instance="one" if version == 4 else None)
        first = member.generation
        member.join(protocols=[{"name": "range", "metadata": b"new"}])
        member.sync({member.id: b"all"})
        producer = Producer(run, f"of-a-member-{version}")
        client = producer.client
        if version < NEW_PROTOCOL:
            client.call(Api.ADD_OFFSETS_TO_TXN, 3, **producer.who, group_id=member.group)
        now = {"member_id": member.id, "generation_id": member.generation}
        if member.instance:
            now["group_instance_id"] = member.instance
        for what, wrong in (
            ("an old generation", {"generation_id": first}),
            ("a generation to come", {"generation_id": member.generation + 1}),
            ("no generation", {"generation_id": -1}),
            ("no member", {"member_id": ""}),
            ("neither", {"member_id": "", "generation_id": -1}),
            ("another instance", {"group_instance_id": "two"}),
            ("as it is", {}),
        ):
            run.note(what)
            fields = {**producer.who, "group_id": member.group, "topics": topics, **now, **wrong}
            client.call(Api.TXN_OFFSET_COMMIT, version, **fields)
        joining = member.send_join(protocols=[{"name": "range", "metadata": b"newer"}])
        member.joined(joining)
        run.note("while the group waits for its leader")
        fields = {**producer.who, "group_id": member.group, "topics": topics, **now}
        client.call(Api.TXN_OFFSET_COMMIT, version, **fields)
        now["generation_id"] = member.generation
        client.call(Api.TXN_OFFSET_COMMIT, version, **{**fields, **now})
        producer.end(commit=True, version=NEW_PROTOCOL if version >= NEW_PROTOCOL else 3)
        asked = [{"name": topic, "partition_indexes": [0]}]
        client.call(Api.OFFSET_FETCH, 7, group_id=member.group, topics=asked, require_stable=True)


def described_by_the_partition(run: Run) -> None:
    """DescribeProducers before, within and after transactions of both protocols."""
    for version, produce in ((3, 9), (NEW_PROTOCOL, 12)):
        topic = run.topic(f"producers-{version}", partitions=2)
        producer = Producer(run, f"producers-{version}")
        client = producer.client

        def look(what: str, topic: str = topic, client: Connection = client) -> None:
            run.note(what)
            asked = [{"name": topic, "partition_indexes": [0, 1]}]
            client.call(Api.DESCRIBE_PRODUCERS, ALL, topics=asked)

        for commit in (True, False):
            if version < NEW_PROTOCOL:
                producer.add(topic, 0, 1)
            look("nothing was sent")
            sequence = 0 if commit or version >= NEW_PROTOCOL else 2
            producer.send(topic, b"1", sequence, version=produce)
            look("the first batch")
            producer.send(topic, b"2", sequence + 1, version=produce)
            look("the second batch")
            producer.end(commit=commit, version=version)
            look("after the end")
        producer.start()
        look("with a new epoch that nothing was sent with")
        if version < NEW_PROTOCOL:
            producer.add(topic, 0)
        producer.send(topic, b"3", version=produce)
        look("a batch of the new epoch")
        producer.start()
        look("fenced")
