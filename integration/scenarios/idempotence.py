"""Producer ids, and the sequences of those who have one: duplicates, gaps, epochs, wrap-around."""

from typing import Any

from integration.differential.script import ALL, Connection, Run, since
from integration.scenarios.requests import fetched, offsets_at, produced, records
from tierbroker.wire.api_keys import ApiKey as Api

LATEST = -1
LAST_SEQUENCE = 2**31 - 1


def _producer(client: Connection) -> int:
    answer = client.settled(
        Api.INIT_PRODUCER_ID, 4, transactional_id=None, transaction_timeout_ms=60_000
    )
    return answer.producer_id


def _send(
    run: Run,
    client: Connection,
    topic: str,
    producer: int,
    sequence: int,
    *,
    epoch: int = 0,
    count: int = 1,
    versions: Any = 9,
) -> None:
    batch = records(
        run,
        [b"%d" % (sequence + n) for n in range(count)],
        producer_id=producer,
        producer_epoch=epoch,
        base_sequence=sequence,
    )
    client.call(Api.PRODUCE, versions, **produced(topic, batch))


def producer_ids(run: Run) -> None:
    """Each request gets another one; an id of one's own is for transactions."""
    client = run.connect()
    client.settled(Api.INIT_PRODUCER_ID, 0, transactional_id=None, transaction_timeout_ms=60_000)
    client.call(Api.INIT_PRODUCER_ID, ALL, transactional_id=None, transaction_timeout_ms=60_000)
    run.note("a timeout that nobody needs")
    client.call(Api.INIT_PRODUCER_ID, ALL, transactional_id=None, transaction_timeout_ms=0)
    client.call(Api.INIT_PRODUCER_ID, 4, transactional_id=None, transaction_timeout_ms=-1)
    run.note("an id and an epoch without a transactional id")
    for producer, epoch in ((5, 0), (5, -1), (-1, 0)):
        client.call(
            Api.INIT_PRODUCER_ID,
            since(3),
            transactional_id=None,
            transaction_timeout_ms=60_000,
            producer_id=producer,
            producer_epoch=epoch,
        )
    run.note("an empty transactional id")
    client.call(Api.INIT_PRODUCER_ID, ALL, transactional_id="", transaction_timeout_ms=60_000)


def duplicates(run: Run) -> None:
    """One of the last five batches is answered as it was; an older one is not known any more."""
    topic = run.topic("again")
    client = run.connect()
    producer = _producer(client)
    for sequence in range(0, 14, 2):
        _send(run, client, topic, producer, sequence, count=2)
    for sequence in (12, 10, 8, 6, 4, 2, 0):
        run.note(f"sequence {sequence} again")
        _send(run, client, topic, producer, sequence, count=2, versions=[3, 9])
    run.note("part of a batch")
    _send(run, client, topic, producer, 12)
    _send(run, client, topic, producer, 13)
    run.note("more than a batch")
    _send(run, client, topic, producer, 12, count=3)
    client.call(Api.LIST_OFFSETS, 7, **offsets_at(topic, LATEST))


def gaps(run: Run) -> None:
    """A sequence that is not the next one; a first one that is not 0."""
    topic, other = run.topic("gaps"), run.topic("first")
    client = run.connect()
    producer = _producer(client)
    _send(run, client, topic, producer, 0)
    _send(run, client, topic, producer, 2, versions=ALL)
    _send(run, client, topic, producer, 1)
    run.note("the first of a producer that is not known here")
    _send(run, client, other, producer, 5)
    _send(run, client, other, producer, 7)
    _send(run, client, other, producer, 6)
    client.call(Api.FETCH, 11, **fetched(other))


def epochs(run: Run) -> None:
    """An older epoch is fenced, a newer one begins anew at 0."""
    topic = run.topic("epochs")
    client = run.connect()
    producer = _producer(client)
    _send(run, client, topic, producer, 0, epoch=1)
    run.note("an older epoch")
    _send(run, client, topic, producer, 1, epoch=0, versions=ALL)
    run.note("a newer epoch that does not begin at 0")
    _send(run, client, topic, producer, 1, epoch=2, versions=ALL)
    run.note("a newer epoch")
    _send(run, client, topic, producer, 0, epoch=2)
    _send(run, client, topic, producer, 1, epoch=2)
    run.note("what the epoch before wrote last")
    _send(run, client, topic, producer, 0, epoch=1)
    client.call(Api.FETCH, 11, **fetched(topic))


def wrap_around(run: Run) -> None:
    """After the largest sequence comes 0, also within a batch."""
    topic, other = run.topic("wrapped"), run.topic("within")
    client = run.connect()
    producer = _producer(client)
    _send(run, client, topic, producer, LAST_SEQUENCE - 1, count=2)
    _send(run, client, topic, producer, 0)
    _send(run, client, topic, producer, 1)
    run.note("again")
    _send(run, client, topic, producer, LAST_SEQUENCE - 1, count=2)
    _send(run, client, other, producer, LAST_SEQUENCE - 1, count=4)
    _send(run, client, other, producer, 2)
    _send(run, client, other, producer, LAST_SEQUENCE - 1, count=4)
    client.call(Api.FETCH, 11, **fetched(other))
