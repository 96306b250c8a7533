"""Runs the transcripts of this directory: commands, and after `----` everything they led to.

A block is one or more commands, `----`, the expected trace, an empty line. `#` starts a comment.
Set SCRIPTS_REWRITE=1 to write what happens as what is expected; read the diff then.

A producer is named by a word and works with the transactional id `t` unless `id=` says otherwise.
It sends the producer id and epoch that it was told last, or those that `as=ID/EPOCH` says. The
trace has every answer, every record that is written, and every marker that is visible.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tests.group_log import GroupLog
from tests.transaction_world import MarkedPartitions, TransactionWorld
from tierbroker.base import errors
from tierbroker.base.ids import TopicPartition
from tierbroker.base.pending import Pending
from tierbroker.transactions.config import TransactionConfig
from tierbroker.transactions.ports import KeyValue, Marker, MarkerDone, WriteDone
from tierbroker.transactions.record_codec import (
    decode_key,
    decode_value,
    transaction_key,
    transaction_value,
)
from tierbroker.transactions.values import NO_PRODUCER_ID, TransactionValues
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.end_txn import EndTxnResponse
from tierbroker.wire.messages.init_producer_id import InitProducerIdResponse

if TYPE_CHECKING:
    from collections.abc import Callable


Trace = list[str]


class TracedLog(GroupLog):
    """Tells what is written."""

    def __init__(self, trace: Trace, *, auto_flush: bool) -> None:
        super().__init__(auto_flush=auto_flush)
        self._trace = trace

    def append(self, partition: int, records: Sequence[KeyValue], done: WriteDone) -> None:
        for key, value in records:
            self._trace.append(f"write {decode_key(key)} {_shown(value)}")
        super().append(partition, records, done)


class TracedPartitions(MarkedPartitions):
    """Tells which markers were asked for, and what came of them if it is not NONE."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self._trace = trace

    def write(self, partition: TopicPartition, marker: Marker, done: MarkerDone) -> None:
        outcome = "commit" if marker.commit else "abort"
        line = (
            f"marker {partition} {marker.producer_id}/{marker.producer_epoch} {outcome} "
            f"coordinator={marker.coordinator_epoch} version={marker.transaction_version}"
        )

        def written(error: ErrorCode) -> None:
            self._trace.append(line if error is ErrorCode.NONE else f"{line}: {error.name}")
            done(error)

        super().write(partition, marker, written)


class Script:
    """One transcript being played."""

    def __init__(self) -> None:
        self.trace: Trace = []
        self.known: dict[str, tuple[int, int]] = {}
        """What each producer was told last."""
        self.do_world()

    def run(self, command: str) -> list[str]:
        """Run one command line; answers what it led to."""
        name, *words = command.split()
        options = dict(word.split("=", 1) for word in words if "=" in word)
        plain = [word for word in words if "=" not in word]
        handler: Callable[..., None] = getattr(self, f"do_{name.replace('-', '_')}")
        handler(*plain, **{"as_" if key == "as" else key: text for key, text in options.items()})
        self.world.run_turns()
        taken = self.trace[:]
        self.trace.clear()
        return taken

    # --- the world

    def do_world(self, flush: str = "now", level: str = "2") -> None:
        """world [flush=later] [level=N]: start anew; the level is that of transaction.version."""
        self.known.clear()
        self.world = TransactionWorld(
            TransactionConfig(partitions=1, id_expiration_ms=1_000_000),
            feature_level=int(level),
            log=TracedLog(self.trace, auto_flush=flush == "now"),
            markers=TracedPartitions(self.trace),
        )

    def do_tick(self, ms: str) -> None:
        """tick MS: time passes."""
        self.world.advance(int(ms))

    def do_flush(self) -> None:
        """flush: the writes under way are durable."""
        self.world.log.flush()

    def do_fail(self, error: str) -> None:
        """fail ERROR: the writes under way did not happen."""
        self.world.log.fail(getattr(errors, error)())

    def do_refuse(self, error: str | None = None) -> None:
        """refuse [ERROR]: all writes fail from now on, or no more."""
        self.world.log.refuse = None if error is None else getattr(errors, error)()

    def do_crash(self) -> None:
        """crash: power off and on; what was not flushed is gone."""
        self.world.crash()

    def do_hold(self, what: str) -> None:
        """hold markers|ids: they are not answered until `release`."""
        self._held(what).hold = True

    def do_release(self, what: str) -> None:
        """release markers|ids: what waits is answered, and what comes later at once."""
        self._held(what).hold = False
        if what == "ids":
            self.world.producer_ids.grant()
        else:
            self.world.markers.release()

    def _held(self, what: str) -> object:
        return self.world.producer_ids if what == "ids" else self.world.markers

    def do_no_ids(self, error: str | None = None) -> None:
        """no-ids [ERROR]: the controller grants no producer ids, or does again."""
        self.world.producer_ids.refuse = None if error is None else getattr(errors, error)()

    def do_marker_fails(self, partition: str, *names: str) -> None:
        """marker-fails PARTITION CODE...: what the next writes of markers meet."""
        self.world.markers.answers[_partition(partition)] = [ErrorCode[name] for name in names]

    def do_worn(self, producer_id: str, epoch: str, id: str = "t") -> None:  # noqa: A002
        """worn ID EPOCH: the id was used so often before the coordinator was started."""
        values = TransactionValues(int(producer_id), int(epoch), 60_000, update_ms=0)
        record = (transaction_key(id), transaction_value(values, self.world.feature_level))
        self.world.log.append(0, [record], lambda _: None)
        self.world.log.flush()
        self.world.crash()

    def do_timeouts(self) -> None:
        """timeouts: transactions that are open for too long are looked for."""
        self.world.coordinator.abort_timed_out()

    def do_expire(self) -> None:
        """expire: transactional ids that nobody uses are looked for."""
        self.world.coordinator.expire_ids()

    def do_stop(self) -> None:
        """stop: the broker is shut down."""
        self.world.coordinator.stop()

    def do_unload(self) -> None:
        """unload: another broker leads the partition."""
        self.world.coordinator.unload(0)

    # --- producers

    def do_init(
        self,
        name: str,
        id: str = "t",  # noqa: A002
        timeout: str = "60000",
        as_: str | None = None,
    ) -> None:
        """init P [timeout=MS] [as=ID/EPOCH]: InitProducerId; `as=` goes on (KIP-360)."""
        expected = (-1, -1) if as_ is None else _pair(as_)
        pending = self.world.init(id, timeout_ms=int(timeout), expected=expected)

        def answered(done: Pending[InitProducerIdResponse]) -> None:
            answer = done.result()
            self._tell(name, "init", answer.error_code, answer.producer_id, answer.producer_epoch)

        pending.on_done(answered)

    def do_add(
        self,
        name: str,
        *partitions: str,
        id: str = "t",  # noqa: A002
        as_: str | None = None,
        version: str = "2",
    ) -> None:
        """add P PARTITION... [version=0]: AddPartitionsToTxn."""
        pending = self.world.add(
            self._producer(name, as_),
            *map(_partition, partitions),
            transactional_id=id,
            version=int(version),
        )
        pending.on_done(lambda done: self._tell(name, "add", done.result()))

    def do_verify(
        self,
        name: str,
        *partitions: str,
        id: str = "t",  # noqa: A002
        as_: str | None = None,
    ) -> None:
        """verify P PARTITION...: were they added?"""
        answer = self.world.verify(
            self._producer(name, as_), *map(_partition, partitions), transactional_id=id
        )
        if isinstance(answer, ErrorCode):
            self._tell(name, "verify", answer)
            return
        for partition, error in answer.items():
            self._tell(name, f"verify {partition}", error)

    def do_commit(self, name: str, **options: str) -> None:
        """commit P [version=3]: EndTxn; below 5 in the old protocol."""
        self._end(name, True, **options)

    def do_abort(self, name: str, **options: str) -> None:
        """abort P [version=3]: EndTxn."""
        self._end(name, False, **options)

    def _end(
        self,
        name: str,
        commit: bool,
        id: str = "t",  # noqa: A002
        as_: str | None = None,
        version: str = "5",
    ) -> None:
        pending = self.world.end(
            self._producer(name, as_), commit=commit, transactional_id=id, version=int(version)
        )

        def answered(done: Pending[EndTxnResponse]) -> None:
            answer = done.result()
            what = "commit" if commit else "abort"
            self._tell(name, what, answer.error_code, answer.producer_id, answer.producer_epoch)

        pending.on_done(answered)

    def do_describe(self, id: str = "t") -> None:  # noqa: A002
        """describe: DescribeTransactions."""
        state = self.world.describe(id)
        if state.error_code != ErrorCode.NONE:
            self.trace.append(f"{id}: {ErrorCode(state.error_code).name}")
            return
        partitions = [f"{topic.topic}-{one}" for topic in state.topics for one in topic.partitions]
        start = state.transaction_start_time_ms
        self.trace.append(
            f"{id}: {state.transaction_state} {state.producer_id}/{state.producer_epoch} "
            f"{'begun' if start >= 0 else 'not begun'} {','.join(partitions) or '-'}"
        )

    def _producer(self, name: str, as_: str | None) -> tuple[int, int]:
        return self.known[name] if as_ is None else _pair(as_)

    def _tell(
        self,
        name: str,
        what: str,
        error: int,
        producer_id: int = NO_PRODUCER_ID,
        epoch: int = -1,
    ) -> None:
        told = ""
        if producer_id != NO_PRODUCER_ID:
            self.known[name] = (producer_id, epoch)
            told = f" {producer_id}/{epoch}"
        self.trace.append(f"{name}: {what} {ErrorCode(error).name}{told}")


def _partition(text: str) -> TopicPartition:
    topic, _, number = text.rpartition("-")
    return TopicPartition(topic, int(number))


def _pair(text: str) -> tuple[int, int]:
    producer_id, epoch = text.split("/")
    return int(producer_id), int(epoch)


def _shown(value: bytes | None) -> str:
    if value is None:
        return "tombstone"
    values = decode_value(value)
    parts = [values.state.label, f"{values.producer_id}/{values.producer_epoch}"]
    if values.next_producer_id != NO_PRODUCER_ID:
        parts.append(f"next={values.next_producer_id}")
    if values.partitions:
        parts.append(",".join(map(str, sorted(values.partitions))))
    return " ".join(parts)
