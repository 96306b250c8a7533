"""What the `tierbroker transaction` commands do, by requests sent by hand."""

from collections.abc import Iterator
from contextlib import contextmanager

from tierbroker.base.clock import SystemClock
from tierbroker.cli.bootstrap import Address, Bootstrap
from tierbroker.cli.exits import CommandFailedError
from tierbroker.cli.group_run import partition_ranges
from tierbroker.cli.kafka_client import STALL_TIMEOUT_S
from tierbroker.cli.output import Cell, Column, print_json, print_rows
from tierbroker.cli.raw_client import RawClient, connected
from tierbroker.cli.times import utc_text
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.describe_transactions import (
    DescribeTransactionsRequest,
    TransactionState,
)
from tierbroker.wire.messages.find_coordinator import FindCoordinatorRequest
from tierbroker.wire.messages.init_producer_id import InitProducerIdRequest
from tierbroker.wire.messages.list_transactions import ListTransactionsRequest
from tierbroker.wire.messages.metadata import MetadataRequest

LIST_COLUMNS = (
    Column("transaction", "Transactional id"),
    Column("state", "State"),
    Column("producer", "Producer id", numeric=True),
    Column("open", "Open ms", numeric=True),
    Column("until", "Aborted at"),
)
COLUMNS = (
    *LIST_COLUMNS,
    Column("epoch", "Epoch", numeric=True),
    Column("timeout", "Timeout ms", numeric=True),
    Column("partitions", "Partitions"),
)
_TRANSACTION = 1
_OPEN = "Ongoing"
_PAUSE_S = 0.1
_AGAIN = (
    ErrorCode.CONCURRENT_TRANSACTIONS,
    ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
    ErrorCode.COORDINATOR_NOT_AVAILABLE,
)
clock = SystemClock()


def list_transactions(bootstrap: Bootstrap, *, only_open: bool, as_json: bool) -> None:
    """Print a row for every transactional id of every broker, those open the longest first."""
    rows: list[tuple[Cell, ...]] = []
    asked = ListTransactionsRequest(state_filters=[_OPEN] if only_open else [])
    with connected(bootstrap) as client:
        brokers = client.call(MetadataRequest(topics=[]), 9).brokers
    for broker in brokers:
        with connected(Bootstrap((Address(broker.host, broker.port),))) as client:
            answer = client.call(asked, 0)
            _check(answer.error_code, "list of transactions")
            states = answer.transaction_states
            names = [found.transactional_id for found in states if found.transaction_state == _OPEN]
            details = _describe_all(client, names)
        rows += [
            (
                found.transactional_id,
                found.transaction_state,
                found.producer_id,
                *_times(details.get(found.transactional_id)),
            )
            for found in states
        ]
    rows.sort(key=lambda row: (-(row[3] if isinstance(row[3], int) else -1), str(row[0])))
    print_rows(LIST_COLUMNS, rows, as_json=as_json)


def show_transaction(bootstrap: Bootstrap, name: str, *, as_json: bool) -> None:
    """Print what the coordinator knows of one transactional id."""
    with _coordinator(bootstrap, name) as client:
        state = _describe(client, name)
    places = [(topic.topic, number) for topic in state.topics for number in topic.partitions]
    row = (
        name,
        state.transaction_state,
        state.producer_id,
        *_times(state),
        state.producer_epoch,
        state.transaction_timeout_ms,
        partition_ranges(places) or None,
    )
    print_rows(COLUMNS, [row], as_json=as_json)


def _describe_all(client: RawClient, names: list[str]) -> dict[str, TransactionState]:
    """Those that are still there."""
    if not names:
        return {}
    found = client.call(DescribeTransactionsRequest(names), 0).transaction_states
    return {each.transactional_id: each for each in found if each.error_code == ErrorCode.NONE}


def _times(state: TransactionState | None) -> tuple[int | None, str | None]:
    """For how long it is open, and when its timeout is over; the broker looks now and then."""
    if state is None or state.transaction_state != _OPEN or state.transaction_start_time_ms < 0:
        return None, None
    started_ms = state.transaction_start_time_ms
    return clock.now_ms() - started_ms, utc_text(started_ms + state.transaction_timeout_ms)


def abort_transaction(bootstrap: Bootstrap, name: str, *, as_json: bool) -> None:
    """Take the transactional id over, as its next producer would: what is open is aborted."""
    deadline = clock.monotonic() + STALL_TIMEOUT_S
    with _coordinator(bootstrap, name) as client:
        state = _describe(client, name)
        if state.transaction_state != _OPEN:
            raise CommandFailedError(
                f"The transactional id {name!r} has no open transaction: its state is "
                f"{state.transaction_state}.\n"
                "See those that have one with: tierbroker transaction ls --open"
            )
        request = InitProducerIdRequest(name, state.transaction_timeout_ms)
        answer = client.call(request, 4)
        while answer.error_code in _AGAIN and clock.monotonic() < deadline:
            _wait()
            answer = client.call(request, 4)
    _check(answer.error_code, "abort")
    if as_json:
        print_json({"transaction": name, "aborted": True})


def _describe(client: RawClient, name: str) -> TransactionState:
    answer = client.call(DescribeTransactionsRequest([name]), 0)
    state: TransactionState = answer.transaction_states[0]
    if state.error_code == ErrorCode.TRANSACTIONAL_ID_NOT_FOUND:
        raise CommandFailedError(
            f"There is no transactional id {name!r}.\nSee them with: tierbroker transaction ls"
        )
    _check(state.error_code, "description")
    return state


@contextmanager
def _coordinator(bootstrap: Bootstrap, name: str) -> Iterator[RawClient]:
    deadline = clock.monotonic() + STALL_TIMEOUT_S
    request = FindCoordinatorRequest(coordinator_keys=[name], key_type=_TRANSACTION)
    with connected(bootstrap) as client:
        (found,) = client.call(request, 4).coordinators
        while found.error_code in _AGAIN and clock.monotonic() < deadline:
            _wait()
            (found,) = client.call(request, 4).coordinators
    _check(found.error_code, "search for the coordinator")
    with connected(Bootstrap((Address(found.host, found.port),))) as client:
        yield client


def _check(error: int, what: str) -> None:
    if error != ErrorCode.NONE:
        raise CommandFailedError(f"The broker refused the {what}: {ErrorCode(error).name}")


def _wait() -> None:
    import time

    time.sleep(_PAUSE_S)
