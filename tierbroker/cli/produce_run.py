"""Sending for `tierbroker produce`: queue, delivery reports, and the summary.

Every record is reported back by the client library, so the summary counts what the broker
acknowledged, never what was handed over.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import click
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from tierbroker.cli.exits import ExitCode
from tierbroker.cli.kafka_client import (
    ANSWER_TIMEOUT_S,
    POLL_S,
    STALL_TIMEOUT_S,
    ConnectionWatch,
    clock,
    fail_stalled,
    open_producer,
    topic_metadata,
)
from tierbroker.cli.output import Column, print_rows
from tierbroker.cli.produce import LineInput, Pair, ProduceOptions
from tierbroker.cli.progress import ProgressBar

POLL_EVERY_RECORDS = 2000
SHOWN_ERRORS = 5
INTERRUPT_FLUSH_S = 5.0

COLUMNS = (
    Column("topic", "Topic"),
    Column("partition", "Partition", numeric=True),
    Column("records", "Records", numeric=True),
    Column("first_offset", "First offset", numeric=True),
    Column("last_offset", "Last offset", numeric=True),
)


class DeliveryTally:
    """Counts delivery reports by partition, and refusals by reason."""

    def __init__(self) -> None:
        self.delivered = 0
        self.failed = 0
        self.reasons: Counter[str] = Counter()
        self._partitions: dict[int, list[int]] = {}

    def on_delivery(self, error: KafkaError | None, message: Message) -> None:
        """The client library's delivery report."""
        if error is not None:
            self.refuse(error)
            return
        self.delivered += 1
        partition, offset = message.partition() or 0, message.offset()
        offset = -1 if offset is None else offset
        counts = self._partitions.get(partition)
        if counts is None:
            self._partitions[partition] = [1, offset, offset]
        else:
            counts[0] += 1
            if offset < counts[1]:
                counts[1] = offset
            elif offset > counts[2]:
                counts[2] = offset

    def refuse(self, error: KafkaError) -> None:
        """A record will not be delivered."""
        self.failed += 1
        self.reasons[error.str()] += 1

    @property
    def settled(self) -> int:
        """Records whose fate is known."""
        return self.delivered + self.failed

    def rows(self, topic: str) -> list[tuple[str, int, int, int | None, int | None]]:
        """One row a partition; offsets are None where acks=0 told none."""
        return [
            (topic, partition, count, _known(first), _known(last))
            for partition, (count, first, last) in sorted(self._partitions.items())
        ]


def _known(offset: int) -> int | None:
    return offset if offset >= 0 else None


def send(options: ProduceOptions, records: Iterable[Pair]) -> int:
    """Send the records and print the summary; returns the exit code.

    Raises UnreachableError if the connection is lost for longer than a restart takes.
    """
    watch, tally = ConnectionWatch(), DeliveryTally()
    guard = StallGuard(watch, tally)
    producer = open_producer(options.bootstrap, watch, producer_settings(options))
    topic_metadata(producer, options.bootstrap, options.topic)  # reachable, and the name is legal
    guard.begin()
    interrupted = False
    source = records if isinstance(records, LineInput) else None
    total = None if source is None else source.total_bytes
    with ProgressBar(f"Sending to {options.topic}", total, enabled=options.show_progress) as bar:

        def show_progress() -> None:
            bar.update(source.read_bytes if source is not None else 0, tally.delivered)

        try:
            _enqueue(producer, options, records, tally, guard, show_progress)
            _drain(producer, guard, show_progress)
        except KeyboardInterrupt:
            interrupted = True
            with contextlib.suppress(KeyboardInterrupt):
                producer.flush(INTERRUPT_FLUSH_S)
        except StalledError:
            producer.purge()
            producer.flush(POLL_S)
    print_rows(COLUMNS, tally.rows(options.topic), as_json=options.as_json)
    if guard.stalled:
        if tally.delivered:
            click.echo(f"{tally.delivered:,} records had reached {options.topic}.", err=True)
        fail_stalled(options.bootstrap, watch, guard.idle_s)
    if tally.failed:
        _print_failures(options.topic, tally)
        return ExitCode.FAILED
    return ExitCode.INTERRUPTED if interrupted else ExitCode.OK


def producer_settings(options: ProduceOptions) -> dict[str, object]:
    """The client library's settings for these options."""
    settings: dict[str, object] = {
        "acks": options.acks,
        "compression.type": options.codec,
        "linger.ms": 5 if options.bulk else 0,
        # The broker's limit counts, not the library's smaller one; batches stay at 1 MB.
        "message.max.bytes": 100_000_000,
        # Later than the stall guard: without a connection the run ends, not record by record.
        "message.timeout.ms": int(STALL_TIMEOUT_S * 2000),
        # How long a topic may be unknown before its records fail: the broker makes none by itself.
        "topic.metadata.propagation.max.ms": int(ANSWER_TIMEOUT_S * 1000),
    }
    # Both keep the order in spite of retries. Idempotence also rules out duplicates, but the
    # library spends half a second on getting a producer id, too long for a handful of values.
    if options.bulk and options.acks == "all":
        settings["enable.idempotence"] = True
    else:
        settings["max.in.flight.requests.per.connection"] = 1
    return settings


def _enqueue(
    producer: Producer,
    options: ProduceOptions,
    records: Iterable[Pair],
    tally: DeliveryTally,
    guard: "StallGuard",
    show_progress: Callable[[], None],
) -> None:
    topic, on_delivery, produce = options.topic, tally.on_delivery, producer.produce
    extra: dict[str, Any] = {}
    if options.partition is not None:
        extra["partition"] = options.partition
    if options.headers:
        extra["headers"] = list(options.headers)
    for number, (key, value) in enumerate(records, 1):
        while True:
            try:
                produce(topic, value, key, on_delivery=on_delivery, **extra)
            except BufferError:
                _wait_for_room(producer, tally, guard)
            except KafkaException as error:
                tally.refuse(error.args[0])
                break
            else:
                break
        if number % POLL_EVERY_RECORDS == 0:
            producer.poll(0)
            guard.check()
            show_progress()


def _wait_for_room(producer: Producer, tally: DeliveryTally, guard: "StallGuard") -> None:
    settled = tally.settled
    while tally.settled == settled:
        producer.poll(POLL_S)
        guard.check()


def _drain(producer: Producer, guard: "StallGuard", show_progress: Callable[[], None]) -> None:
    while producer.flush(POLL_S):
        guard.check()
        show_progress()


class StalledError(Exception):
    """Connections fail and nothing is delivered any more: waiting longer would not help."""


class StallGuard:
    """Watches that records are delivered while connections fail."""

    def __init__(self, watch: ConnectionWatch, tally: DeliveryTally) -> None:
        self.stalled = False
        self._watch = watch
        self._tally = tally
        self._delivered = 0
        self._moved_at = clock.monotonic()

    @property
    def idle_s(self) -> float:
        """Seconds since the last sign of life."""
        return clock.monotonic() - self._moved_at

    def begin(self) -> None:
        """The broker has answered."""
        self._watch.clear()
        self._moved_at = clock.monotonic()

    def check(self) -> None:
        """Raises StalledError after a few seconds without any delivery, more if there were some."""
        if self._watch.last_error is None or self._tally.delivered != self._delivered:
            self._delivered = self._tally.delivered
            self.begin()
            return
        if self.idle_s > (STALL_TIMEOUT_S if self._delivered else ANSWER_TIMEOUT_S):
            self.stalled = True
            raise StalledError


def _print_failures(topic: str, tally: DeliveryTally) -> None:
    attempted = tally.settled
    click.echo(f"Error: {tally.failed:,} of {attempted:,} records did not reach {topic}:", err=True)
    for reason, count in tally.reasons.most_common(SHOWN_ERRORS):
        click.echo(f"  {count:,} × {reason}", err=True)
    if len(tally.reasons) > SHOWN_ERRORS:
        click.echo(f"  and {len(tally.reasons) - SHOWN_ERRORS} other reasons", err=True)
