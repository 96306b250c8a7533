"""Transactions: started, filled, committed and aborted in both protocols, and who may do what."""

import time
from typing import Any

from integration.differential.script import ALL, Connection, Run, between, since, until
from integration.scenarios.group_member import coordinated
from integration.scenarios.requests import fetched, offsets_at, produced, records
from tierbroker.wire.api_keys import ApiKey as Api

COMMITTED = 1
"""isolation.level"""
LATEST = -1
NEW_PROTOCOL = 5
"""EndTxn from here on is KIP-890's."""
_CONCURRENT = 51


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
        for _ in range(200):
            answer = own.settled(
                Api.INIT_PRODUCER_ID,
                version,
                transactional_id=self.id,
                transaction_timeout_ms=self.timeout_ms,
            )
            if answer.error_code != _CONCURRENT:
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
        for _ in range(200):
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
        for stable in (False, True):
            client.call(Api.OFFSET_FETCH, 7, group_id=group, topics=asked, require_stable=stable)
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
