"""What the `tierbroker transaction` commands do, by requests sent by hand."""

from collections.abc import Iterator
from contextlib import contextmanager

from tierbroker.base.clock import SystemClock
from tierbroker.cli.bootstrap import Address, Bootstrap
from tierbroker.cli.exits import CommandFailedError
from tierbroker.cli.group_run import partition_ranges
from tierbroker.cli.kafka_client import STALL_TIMEOUT_S
from tierbroker.cli.output import Column, print_json, print_rows
from tierbroker.cli.raw_client import RawClient, connected
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
)
COLUMNS = (
    *LIST_COLUMNS,
    Column("epoch", "Epoch", numeric=True),
    Column("timeout", "Timeout ms", numeric=True),
    Column("open", "Open ms", numeric=True),
    Column("partitions", "Partitions"),
)
_TRANSACTION = 1
_PAUSE_S = 0.1
_AGAIN = (
    ErrorCode.CONCURRENT_TRANSACTIONS,
    ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
    ErrorCode.COORDINATOR_NOT_AVAILABLE,
)
clock = SystemClock()


def list_transactions(bootstrap: Bootstrap, *, as_json: bool) -> None:
    """Print a row for every transactional id of every broker."""
    rows = []
    with connected(bootstrap) as client:
        brokers = client.call(MetadataRequest(topics=[]), 9).brokers
    for broker in brokers:
        with connected(Bootstrap((Address(broker.host, broker.port),))) as client:
            answer = client.call(ListTransactionsRequest(), 0)
        _check(answer.error_code, "list of transactions")
        rows += [
            (found.transactional_id, found.transaction_state, found.producer_id)
            for found in answer.transaction_states
        ]
    print_rows(LIST_COLUMNS, sorted(rows), as_json=as_json)


def show_transaction(bootstrap: Bootstrap, name: str, *, as_json: bool) -> None:
    """Print what the coordinator knows of one transactional id."""
    with _coordinator(bootstrap, name) as client:
        state = _describe(client, name)
    started_ms = state.transaction_start_time_ms
    is_open = state.transaction_state == "Ongoing" and started_ms >= 0
    places = [(topic.topic, number) for topic in state.topics for number in topic.partitions]
    row = (
        name,
        state.transaction_state,
        state.producer_id,
        state.producer_epoch,
        state.transaction_timeout_ms,
        clock.now_ms() - started_ms if is_open else None,
        partition_ranges(places) or None,
    )
    print_rows(COLUMNS, [row], as_json=as_json)


def abort_transaction(bootstrap: Bootstrap, name: str, *, as_json: bool) -> None:
    """Take the transactional id over, as its next producer would: what is open is aborted."""
    deadline = clock.monotonic() + STALL_TIMEOUT_S
    with _coordinator(bootstrap, name) as client:
        state = _describe(client, name)
        if state.transaction_state != "Ongoing":
            raise CommandFailedError(
                f"The transactional id {name!r} has no open transaction: its state is "
                f"{state.transaction_state}."
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
