"""Reading as a member of a group, for `tierbroker consume --group`.

At least once: an offset is committed after its record was written, every few seconds, when a
partition goes to another member and at the end. Who may read what is the group's decision; it is
told on standard error when that is a terminal.
"""

import signal
import sys

import click
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from tierbroker.cli.consume import ConsumeOptions
from tierbroker.cli.consume_run import BATCH_RECORDS, BATCH_WAIT_S, FINAL_ERRORS, format_of
from tierbroker.cli.exits import CommandFailedError, ExitCode
from tierbroker.cli.group_run import partition_ranges
from tierbroker.cli.kafka_client import (
    STALL_TIMEOUT_S,
    ClientConfig,
    ConnectionWatch,
    clock,
    fail_request,
    fail_stalled,
    fail_unknown_topic,
    open_consumer,
    topic_metadata,
)
from tierbroker.cli.positions import Anchor

SETTINGS: ClientConfig = {
    "enable.auto.commit": True,
    "auto.commit.interval.ms": 5000,
    "enable.partition.eof": True,
    # The library's default backs off for a second whenever its queue is full.
    "fetch.queue.backoff.ms": 5,
    "fetch.wait.max.ms": 250,
}
PATIENCE_S = 5.0
"""A rebalance that takes longer has a reason that a person should hear of."""

_RESETS = {Anchor.START: "earliest", Anchor.END: "latest"}


def read_in_group(options: ConsumeOptions, group: str) -> int:
    """Read and write records until there is a reason to stop; returns the exit code.

    Raises UnreachableError and CommandFailedError.
    """
    watch = ConnectionWatch()
    settings = {
        **SETTINGS,
        "group.id": group,
        "auto.offset.reset": _RESETS[options.position.anchor],
    }
    # Whoever is told to end leaves the group in order, so that the others need not wait for the
    # end of its session: `timeout` and service managers say it with SIGTERM.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    consumer = open_consumer(options.bootstrap, watch, settings)
    try:
        return _GroupReading(options, group, watch, consumer).run()
    except KafkaException as error:
        fail_request(error, options.bootstrap, "read")
    finally:
        consumer.close()


class _GroupReading:
    """One run of `consume --group`."""

    def __init__(
        self, options: ConsumeOptions, group: str, watch: ConnectionWatch, consumer: Consumer
    ) -> None:
        self._options = options
        self._group = group
        self._watch = watch
        self._consumer = consumer
        self._format = format_of(options)
        self._left = options.limit
        self._joined = False
        self._assigned: set[int] = set()
        self._at_end: set[int] = set()
        self._talks = sys.stderr.isatty()
        self._has_told = False

    def run(self) -> int:
        options = self._options
        if topic_metadata(self._consumer, options.bootstrap, options.topic) is None:
            fail_unknown_topic(options.bootstrap, options.topic)
        self._watch.clear()
        self._consumer.subscribe(
            [options.topic],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )
        try:
            self._loop()
        except KeyboardInterrupt:
            return ExitCode.INTERRUPTED if options.stop_at_end else ExitCode.OK
        return ExitCode.OK

    def _loop(self) -> None:
        output = sys.stdout.buffer
        moved_at = clock.monotonic()
        while not self._done:
            messages = self._consumer.consume(self._batch_size, BATCH_WAIT_S)
            if messages:
                moved_at = clock.monotonic()
                lines, offsets = self._lines(messages)
                output.write(b"".join(lines))
                output.flush()
                # Only what has been written may be committed.
                self._store(offsets)
            else:
                self._check_connection(clock.monotonic() - moved_at)

    @property
    def _done(self) -> bool:
        if self._left == 0:
            return True
        return self._options.stop_at_end and self._joined and self._at_end >= self._assigned

    @property
    def _batch_size(self) -> int:
        return BATCH_RECORDS if self._left is None else min(self._left, BATCH_RECORDS)

    def _lines(self, messages: list[Message]) -> tuple[list[bytes], dict[int, int]]:
        """The lines to write, and where each of their partitions goes on after them."""
        lines: list[bytes] = []
        offsets: dict[int, int] = {}
        for message in messages:
            error = message.error()
            if error is not None:
                self._on_error(error, message)
                continue
            partition, offset = message.partition(), message.offset()
            assert partition is not None
            assert offset is not None
            offsets[partition] = offset + 1
            lines.append(self._format(message))
        if self._left is not None:
            self._left -= len(lines)
        if lines:
            self._watch.clear()
        return lines, offsets

    def _store(self, offsets: dict[int, int]) -> None:
        """Note for the next commit how far was read of the partitions that are still ours."""
        topic = self._options.topic
        places = [
            TopicPartition(topic, number, offset)
            for number, offset in offsets.items()
            if number in self._assigned
        ]
        if places:
            self._consumer.store_offsets(offsets=places)

    def _on_error(self, error: KafkaError, message: Message) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            partition = message.partition()
            assert partition is not None
            self._watch.clear()
            self._at_end.add(partition)
        elif error.code() in FINAL_ERRORS | _GROUP_ERRORS or error.fatal():
            hint = ""
            if error.code() == KafkaError.INCONSISTENT_GROUP_PROTOCOL:
                hint = (
                    "\nIts members share partitions by another assignor than range or roundrobin; "
                    f"see it with: tierbroker group show {self._group}"
                )
            raise CommandFailedError(
                f"Cannot read {self._options.topic} in the group {self._group!r}: "
                f"{error.str()}{hint}"
            )
        else:
            self._watch.on_error(error)

    def _check_connection(self, waited_s: float) -> None:
        watch = self._watch
        if watch.fatal:
            raise CommandFailedError(f"Cannot read {self._options.topic}: {watch.fatal}")
        if watch.last_error and self._options.stop_at_end and waited_s > STALL_TIMEOUT_S:
            fail_stalled(self._options.bootstrap, watch, waited_s)
        if self._talks and not self._joined and waited_s > PATIENCE_S and not self._has_told:
            self._has_told = True
            click.echo(
                f"Waiting for the other members of {self._group!r}; "
                f"see them with: tierbroker group show {self._group}",
                err=True,
            )

    # The group's decisions; called from within `consume` and `close`

    def _on_assign(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self._joined = True
        self._assigned |= {place.partition for place in places}
        self._at_end -= self._assigned
        self._tell("Assigned", places)

    def _on_revoke(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self._drop(places)
        self._tell("Revoked", places)

    def _on_lost(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self._drop(places)
        self._tell("Lost", places)

    def _drop(self, places: list[TopicPartition]) -> None:
        # Until the group has decided again, nothing is known about who reads what.
        self._joined = False
        self._assigned -= {place.partition for place in places}

    def _tell(self, what: str, places: list[TopicPartition]) -> None:
        if self._talks:
            named = partition_ranges((place.topic, place.partition) for place in places)
            click.echo(f"{what}: {named or 'no partitions'}", err=True)


_GROUP_ERRORS = frozenset(
    (
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.GROUP_MAX_SIZE_REACHED,
        KafkaError.INCONSISTENT_GROUP_PROTOCOL,
        KafkaError.INVALID_GROUP_ID,
        KafkaError._MAX_POLL_EXCEEDED,
    )
)
