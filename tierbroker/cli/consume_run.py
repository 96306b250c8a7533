"""Reading for `tierbroker consume`: offsets to read, the loop, and its end."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

import click
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from tierbroker.cli.consume import ConsumeOptions
from tierbroker.cli.exits import CommandFailedError, ExitCode
from tierbroker.cli.kafka_client import (
    ANSWER_TIMEOUT_S,
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
from tierbroker.cli.positions import Anchor, EndTracker
from tierbroker.cli.progress import ProgressBar
from tierbroker.cli.record_format import RecordFormat, json_line, raw_pair, raw_value

BATCH_RECORDS = 1000
BATCH_WAIT_S = 0.05
"""How long a record may wait for others before it is written."""
_REASON_WAIT_S = 1.0

SETTINGS: ClientConfig = {
    "enable.partition.eof": True,
    "auto.offset.reset": "error",
    # The library's default backs off for a second whenever its queue is full.
    "fetch.queue.backoff.ms": 5,
    "fetch.wait.max.ms": 250,
}


@dataclass(frozen=True, slots=True)
class Span:
    """What is read of one partition: from `start`; `end` is its end at the moment."""

    start: int
    end: int


def read(options: ConsumeOptions) -> int:
    """Read and write records until there is a reason to stop; returns the exit code.

    Raises UnreachableError and CommandFailedError.
    """
    watch = ConnectionWatch()
    consumer = open_consumer(options.bootstrap, watch, SETTINGS)
    try:
        return _Reading(options, watch, consumer).run()
    except KafkaException as error:
        if error.args[0].code() in (KafkaError._DESTROY_BROKER, KafkaError._TRANSPORT):
            # The broker has answered once; now the address that was given went away in favour of
            # the one that is advertised, and why that fails is told a moment later.
            consumer.poll(0 if watch.last_error else _REASON_WAIT_S)
            fail_stalled(options.bootstrap, watch, 0)
        fail_request(error, options.bootstrap, "read")
    finally:
        consumer.close()


class _Reading:
    """One run of `consume`."""

    def __init__(self, options: ConsumeOptions, watch: ConnectionWatch, consumer: Consumer) -> None:
        self._options = options
        self._watch = watch
        self._consumer = consumer
        self._format = format_of(options)
        self._left = options.limit
        self._written = 0
        self._tracker: EndTracker | None = None

    def run(self) -> int:
        options = self._options
        spans = find_spans(self._consumer, options)
        self._watch.clear()
        if options.stop_at_end:
            spans = {number: span for number, span in spans.items() if span.start < span.end}
            self._tracker = EndTracker({number: span.end for number, span in spans.items()})
        if not spans:
            return ExitCode.OK
        self._consumer.assign(
            [TopicPartition(options.topic, number, span.start) for number, span in spans.items()]
        )
        total = sum(span.end - span.start for span in spans.values())
        if self._left is not None:
            total = min(total, self._left)
        # A bar between the lines of the output on one and the same terminal helps nobody.
        enabled = options.show_progress and options.stop_at_end and not sys.stdout.isatty()
        with ProgressBar(f"Reading {options.topic}", total, enabled=enabled) as bar:
            try:
                self._loop(bar)
            except KeyboardInterrupt:
                # Following a topic has no other end than this one.
                return ExitCode.INTERRUPTED if options.stop_at_end else ExitCode.OK
        return ExitCode.OK

    def _loop(self, bar: ProgressBar) -> None:
        output = sys.stdout.buffer
        moved_at = clock.monotonic()
        while not self._done:
            messages = self._consumer.consume(BATCH_RECORDS, BATCH_WAIT_S)
            if messages:
                moved_at = clock.monotonic()
                lines = self._lines(messages)
                output.write(b"".join(lines))
                output.flush()
                bar.update(self._written, self._written)
            else:
                self._check_connection(clock.monotonic() - moved_at)

    @property
    def _done(self) -> bool:
        return self._left == 0 or (self._tracker is not None and self._tracker.complete)

    def _lines(self, messages: list[Message]) -> list[bytes]:
        lines: list[bytes] = []
        tracker, write = self._tracker, self._format
        room = len(messages) if self._left is None else self._left
        for message in messages:
            error = message.error()
            if error is not None:
                self._on_error(error, message)
                continue
            if len(lines) == room:
                break
            partition, offset = message.partition(), message.offset()
            assert partition is not None
            assert offset is not None
            if tracker is None or tracker.take(partition, offset):
                lines.append(write(message))
        self._written += len(lines)
        if self._left is not None:
            self._left -= len(lines)
        if lines:
            self._watch.clear()
        return lines

    def _on_error(self, error: KafkaError, message: Message) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            partition = message.partition()
            assert partition is not None
            self._watch.clear()
            if self._tracker is not None:
                self._tracker.finish(partition)
        elif error.code() in FINAL_ERRORS or error.fatal():
            where = f"{self._options.topic}-{message.partition()}"
            raise CommandFailedError(f"Cannot read {where}: {error.str()}")
        else:
            self._watch.on_error(error)

    def _check_connection(self, waited_s: float) -> None:
        watch = self._watch
        if watch.fatal:
            raise CommandFailedError(f"Cannot read {self._options.topic}: {watch.fatal}")
        # A topic that is followed may be silent, and its broker may restart.
        limit_s = STALL_TIMEOUT_S if self._written else ANSWER_TIMEOUT_S
        if watch.last_error and self._tracker is not None and waited_s > limit_s:
            fail_stalled(self._options.bootstrap, watch, waited_s)


FINAL_ERRORS = frozenset(
    (
        KafkaError._AUTO_OFFSET_RESET,
        KafkaError._BAD_MSG,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.OFFSET_OUT_OF_RANGE,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    )
)


def format_of(options: ConsumeOptions) -> RecordFormat:
    """How a record is to be written."""
    if options.as_json:
        return json_line
    if options.key_separator is not None:
        return raw_pair(options.key_separator)
    return raw_value


def find_spans(consumer: Consumer, options: ConsumeOptions) -> dict[int, Span]:
    """Ask the broker where each partition starts and ends and where reading is to begin.

    Raises CommandFailedError if the topic or partition does not exist.
    """
    topic = options.topic
    metadata = topic_metadata(consumer, options.bootstrap, topic)
    if metadata is None:
        fail_unknown_topic(options.bootstrap, topic)
    numbers = sorted(metadata.partitions)
    if options.partition is not None:
        if options.partition not in metadata.partitions:
            raise CommandFailedError(
                f"Topic {topic!r} has no partition {options.partition}; "
                f"its partitions are 0 to {len(numbers) - 1}."
            )
        numbers = [options.partition]
    earliest = _offsets_at(consumer, topic, dict.fromkeys(numbers, -2))
    ends = _offsets_at(consumer, topic, dict.fromkeys(numbers, -1))
    at_time: dict[int, int | None] = {}
    if options.position.anchor is Anchor.TIME:
        times = dict.fromkeys(numbers, options.position.number)
        found = _offsets_at(consumer, topic, times)
        at_time = {number: offset if offset >= 0 else None for number, offset in found.items()}
    spans = {}
    for number in numbers:
        first, end = earliest[number], ends[number]
        start = options.position.resolve(first, end, at_time.get(number))
        if options.position.anchor is Anchor.OFFSET and start != options.position.number:
            click.echo(
                f"{topic}-{number} has the offsets {first} to {end - 1}: starting at {start}."
                if first < end
                else f"{topic}-{number} is empty: starting at {start}.",
                err=True,
            )
        spans[number] = Span(start, end)
    return spans


def _offsets_at(consumer: Consumer, topic: str, timestamps_ms: Mapping[int, int]) -> dict[int, int]:
    """ListOffsets: by time, or -2 for the earliest offset and -1 for the end; -1 is "none"."""
    wanted = [TopicPartition(topic, number, at) for number, at in timestamps_ms.items()]
    offsets = {}
    for answer in consumer.offsets_for_times(wanted, timeout=ANSWER_TIMEOUT_S):
        if answer.error is not None:
            raise CommandFailedError(
                f"No offsets of {topic}-{answer.partition}: {answer.error.str()}"
            )
        offsets[answer.partition] = answer.offset
    return offsets
