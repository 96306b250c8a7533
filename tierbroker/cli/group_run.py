"""What the `tierbroker group` commands do, through the client library's admin client."""

from collections.abc import Iterable, Sequence
from enum import Enum
from itertools import groupby
from typing import TYPE_CHECKING, Any, NoReturn

from confluent_kafka import (
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it re-exports silently
    ConsumerGroupDescription,
    MemberDescription,
    OffsetSpec,
)

from tierbroker.cli.bootstrap import Bootstrap
from tierbroker.cli.exits import CommandFailedError
from tierbroker.cli.kafka_client import STALL_TIMEOUT_S, AdminSession, fail_request
from tierbroker.cli.output import Column, print_json, print_rows

if TYPE_CHECKING:
    from concurrent.futures import Future

LIST_COLUMNS = (Column("group", "Group"), Column("state", "State"), Column("type", "Type"))
GROUP_COLUMNS = (
    Column("group", "Group"),
    Column("state", "State"),
    Column("assignor", "Assignor"),
    Column("lag", "Lag", numeric=True),
)
MEMBER_COLUMNS = (
    Column("member", "Member"),
    Column("instance", "Instance"),
    Column("client", "Client"),
    Column("host", "Host"),
    Column("partitions", "Partitions"),
)
OFFSET_COLUMNS = (
    Column("topic", "Topic"),
    Column("partition", "Partition", numeric=True),
    Column("committed", "Committed offset", numeric=True),
    Column("end", "End offset", numeric=True),
    Column("lag", "Lag", numeric=True),
    Column("member", "Member"),
)

LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_STATES: dict[Enum, str] = {
    ConsumerGroupState.STABLE: "Stable",
    ConsumerGroupState.PREPARING_REBALANCING: "PreparingRebalance",
    ConsumerGroupState.COMPLETING_REBALANCING: "CompletingRebalance",
    ConsumerGroupState.EMPTY: "Empty",
    ConsumerGroupState.DEAD: "Dead",
}
_NAMED_MEMBERS = 5
"""Of a group that cannot be removed, so many members are named."""

Place = tuple[str, int]
OffsetRow = tuple[str, int, int | None, int | None, int | None, str | None]


def list_groups(bootstrap: Bootstrap, *, as_json: bool) -> None:
    """Print a row for every group; raises UnreachableError and CommandFailedError."""
    session = AdminSession(bootstrap)
    future = session.client.list_consumer_groups(request_timeout=STALL_TIMEOUT_S)
    try:
        listed = session.result(future, "group list")
    except KafkaException as error:
        fail_request(error, bootstrap, "group list")
    if listed.errors:
        fail_request(listed.errors[0], bootstrap, "group list")
    rows = [
        (found.group_id, _state(found.state), found.type.name.lower())
        for found in sorted(listed.valid, key=lambda found: found.group_id)
    ]
    print_rows(LIST_COLUMNS, rows, as_json=as_json)


def show_group(bootstrap: Bootstrap, name: str, *, as_json: bool) -> None:
    """Print state, members, offsets and lag; raises UnreachableError and CommandFailedError."""
    session = AdminSession(bootstrap)
    description = _describe(session, name)
    rows = _offset_rows(session, name, description.members)
    state = _state(description.state)
    assignor = description.partition_assignor or None
    lags = [lag for *_, lag, _ in rows if lag is not None]
    lag = sum(lags) if lags else None
    if as_json:
        print_json(
            {
                "group": name,
                "state": state,
                "assignor": assignor,
                "lag": lag,
                "members": [_member_object(member) for member in _sorted(description.members)],
                "partitions": [
                    {column.key: cell for column, cell in zip(OFFSET_COLUMNS, row, strict=True)}
                    for row in rows
                ],
            }
        )
        return
    print_rows(GROUP_COLUMNS, [(name, state, assignor, lag)], as_json=False, prefix="group")
    if description.members:
        members = [
            (
                member.member_id,
                member.group_instance_id,
                member.client_id,
                _host(member),
                partition_ranges(_assigned(member)) or None,
            )
            for member in _sorted(description.members)
        ]
        print_rows(MEMBER_COLUMNS, members, as_json=False, prefix="member")
    if rows:
        print_rows(OFFSET_COLUMNS, rows, as_json=False, prefix="partition")


def remove_group(bootstrap: Bootstrap, name: str, *, as_json: bool) -> None:
    """Delete the group; raises UnreachableError, or CommandFailedError when it has members."""
    session = AdminSession(bootstrap)
    future = session.client.delete_consumer_groups([name], request_timeout=STALL_TIMEOUT_S)[name]
    _result(future, session, name, "delete")
    if as_json:
        print_json({"group": name, "removed": True})


def partition_ranges(places: Iterable[Place]) -> str:
    """Partitions in few words: `orders 0-3,7; refunds 1`."""
    return "; ".join(
        f"{topic} {_ranges([number for _, number in numbers])}"
        for topic, numbers in groupby(sorted(places), key=lambda place: place[0])
    )


def _ranges(numbers: Sequence[int]) -> str:
    """Rising numbers, runs of them as FIRST-LAST."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _describe(session: AdminSession, name: str) -> ConsumerGroupDescription:
    """The group; a name that no group has is described as a dead one without members."""
    futures = session.client.describe_consumer_groups([name], request_timeout=STALL_TIMEOUT_S)
    description: ConsumerGroupDescription = _result(futures[name], session, name, "describe")
    if description.state is ConsumerGroupState.DEAD:
        _fail_unknown_group(session.bootstrap, name)
    return description


def _offset_rows(
    session: AdminSession, name: str, members: Iterable[MemberDescription]
) -> list[OffsetRow]:
    """A row for each partition that is assigned or has a committed offset."""
    owners = {place: member.member_id for member in members for place in _assigned(member)}
    request = [ConsumerGroupTopicPartitions(name)]
    futures = session.client.list_consumer_group_offsets(request, request_timeout=STALL_TIMEOUT_S)
    found = _result(futures[name], session, name, "offsets")
    committed = {
        (entry.topic, entry.partition): entry.offset
        for entry in found.topic_partitions
        if entry.error is None and entry.offset >= 0
    }
    places = sorted(owners.keys() | committed.keys())
    ends = _end_offsets(session, name, places)
    rows: list[OffsetRow] = []
    for place in places:
        offset, end = committed.get(place), ends.get(place)
        lag = None if offset is None or end is None else end - offset
        rows.append((*place, offset, end, lag, owners.get(place)))
    return rows


def _end_offsets(session: AdminSession, name: str, places: Iterable[Place]) -> dict[Place, int]:
    """Where the partitions end; those that are gone or have no leader are left out."""
    request = {TopicPartition(*place): LATEST for place in places}
    if not request:
        return {}
    futures = session.client.list_offsets(request, request_timeout=STALL_TIMEOUT_S)
    ends = {}
    for wanted, future in futures.items():
        try:
            ends[wanted.topic, wanted.partition] = session.result(future, "offsets").offset
        except KafkaException as error:
            if error.args[0].code() not in _WITHOUT_END:
                _fail(error, session, name, "offsets")
    return ends


_WITHOUT_END = frozenset(
    (
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
    )
)


def _state(state: Enum) -> str:
    """Kafka's name of the state."""
    return _STATES.get(state, "Unknown")


def _sorted(members: Iterable[MemberDescription]) -> list[MemberDescription]:
    return sorted(members, key=lambda member: (_assigned(member), member.member_id))


def _assigned(member: MemberDescription) -> list[Place]:
    return sorted((entry.topic, entry.partition) for entry in member.assignment.topic_partitions)


def _host(member: MemberDescription) -> str:
    return str(member.host).removeprefix("/")  # Java's notation of an address without a name


def _member_object(member: MemberDescription) -> dict[str, object]:
    return {
        "member": member.member_id,
        "instance": member.group_instance_id,
        "client": member.client_id,
        "host": _host(member),
        "partitions": [
            {"topic": topic, "partition": number} for topic, number in _assigned(member)
        ],
    }


def _result(future: "Future[Any]", session: AdminSession, name: str, what: str) -> Any:
    """The outcome of an admin request; raises what a person should read."""
    try:
        return session.result(future, what)
    except KafkaException as error:
        _fail(error, session, name, what)


def _fail(error: KafkaException, session: AdminSession, name: str, what: str) -> NoReturn:
    code = error.args[0].code()
    if code == KafkaError.GROUP_ID_NOT_FOUND:
        _fail_unknown_group(session.bootstrap, name)
    if code == KafkaError.NON_EMPTY_GROUP:
        _fail_members(session, name)
    fail_request(error, session.bootstrap, what)


def _fail_unknown_group(bootstrap: Bootstrap, name: str) -> NoReturn:
    raise CommandFailedError(
        f"There is no consumer group {name!r} on {bootstrap}.\n"
        "See the groups with: tierbroker group ls"
    )


def _fail_members(session: AdminSession, name: str) -> NoReturn:
    members = _sorted(_describe(session, name).members)
    named = [f"{member.client_id} at {_host(member)}" for member in members[:_NAMED_MEMBERS]]
    if len(members) > _NAMED_MEMBERS:
        named.append(f"{len(members) - _NAMED_MEMBERS} more")
    count = f"{len(members)} member{'s' if len(members) != 1 else ''}"
    raise CommandFailedError(
        f"The group {name!r} has {count} ({', '.join(named)}), and is not removed.\n"
        f"Stop its consumers first; see them with: tierbroker group show {name}"
    )
