"""Runs the transcripts of this directory: commands, and after `----` everything they led to.

A block is one or more commands, `----`, the expected trace, an empty line. `#` starts a comment.
Set SCRIPTS_REWRITE=1 to write what happens as what is expected; read the diff then.

A client is named by a word; the member ids that it is given are shown as `A.1`, `A.2`, ... and a
request goes out with the last of them unless `id=` says otherwise (`id=none` for an empty one).
The trace has every answer, every change of a group's state, and every record that is written.
"""

from typing import TYPE_CHECKING

from tests.group_world import GroupWorld
from tierbroker.base import errors
from tierbroker.base.pending import Pending
from tierbroker.groups.client import Client
from tierbroker.groups.config import GroupConfig
from tierbroker.groups.records.group_metadata_value import GroupMetadataValue
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.join_group import JoinGroupResponse
from tierbroker.wire.messages.leave_group import LeaveGroupResponse
from tierbroker.wire.messages.sync_group import SyncGroupResponse

if TYPE_CHECKING:
    from collections.abc import Callable


class Script:
    """One transcript being played."""

    def __init__(self) -> None:
        self.world = GroupWorld()
        self.trace: list[str] = []
        self.names: dict[str, str] = {}
        """Shown names of member ids."""
        self.ids: dict[str, list[str]] = {}
        """The member ids that each client was given."""
        self.generations: dict[str, int] = {}
        """The generation that each client was told last."""
        self.states: dict[str, str] = {}
        self.offsets: set[str] = set()

    def run(self, command: str) -> list[str]:
        """Run one command line; answers what it led to."""
        name, *words = command.split()
        options = dict(word.split("=", 1) for word in words if "=" in word)
        plain = [word for word in words if "=" not in word]
        handler: Callable[..., None] = getattr(self, f"do_{name.replace('-', '_')}")
        handler(*plain, **{key.replace("-", "_"): value for key, value in options.items()})
        self._note_states()
        taken, self.trace = self.trace, []
        return taken

    # --- the world

    def do_world(self, flush: str = "now", **config: str) -> None:
        """world [flush=later] [delay=MS] [max=N]: start anew."""
        named = {"delay": "initial_rebalance_delay_ms", "max": "max_size"}
        self.names, self.ids, self.generations, self.states = {}, {}, {}, {}
        values = {named[key]: int(value) for key, value in config.items()}
        self.world = GroupWorld(
            GroupConfig(**({"initial_rebalance_delay_ms": 0} | values)),  # type: ignore[arg-type]
            flush_at_once=flush == "now",
            has_offsets=self.offsets.__contains__,
        )
        self._watch_journal()

    def do_tick(self, ms: str) -> None:
        """tick MS: time passes."""
        self.world.advance(int(ms))

    def do_flush(self, count: str | None = None) -> None:
        """flush [N]: the (N oldest) writes under way are durable."""
        self.world.journal.flush(None if count is None else int(count))

    def do_fail(self, error: str) -> None:
        """fail ERROR: the writes under way did not happen."""
        self.world.journal.fail(getattr(errors, error)())

    def do_restart(self, **config: str) -> None:
        """restart: power off and on; what was not flushed is gone."""
        if "max" in config:
            self.world.config = GroupConfig(
                initial_rebalance_delay_ms=0, max_size=int(config["max"])
            )
        self.world.restart()
        self.states = {}
        self._watch_journal()

    def do_stop(self, error: str) -> None:
        """stop ERROR: the shard is given away."""
        self.world.groups.stop(ErrorCode[error])

    def do_offsets(self, *groups: str) -> None:
        """offsets GROUP ...: these groups have committed offsets."""
        self.offsets.update(groups)

    # --- requests

    def do_join(self, client: str, **options: str) -> None:
        """join CLIENT [group=] [id=] [instance=] [protocols=a:x,b:y] [session=] [rebalance=] ..."""
        pending = self._join(client, options)
        pending.on_done(lambda done: self._joined(client, done))

    def do_enter(self, client: str, **options: str) -> None:
        """enter CLIENT: a dynamic member's two requests; only the second one's answer is shown."""
        first = self._join(client, options | {"id": "none"}).result()
        assert first.error_code == ErrorCode.MEMBER_ID_REQUIRED
        self._learn(client, first.member_id)
        self.do_join(client, **options)

    def do_sync(self, client: str, **options: str) -> None:
        """sync CLIENT [gen=] [id=] [type=] [name=] [MEMBER=BYTES ...]: the leader's has members."""
        taken = {"group", "gen", "id", "instance", "type", "name"}
        assignments = {
            self._id(key): value.encode() for key, value in options.items() if key not in taken
        }
        pending = self.world.sync(
            self._own_id(client, options),
            self._generation(client, options),
            assignments,
            group=options.get("group", "g"),
            instance=options.get("instance"),
            protocol_type=options.get("type"),
            protocol_name=options.get("name"),
        )
        pending.on_done(lambda done: self._synced(client, done))

    def do_heartbeat(self, *clients: str, **options: str) -> None:
        """heartbeat CLIENT ... [gen=] [id=] [instance=]."""
        for client in clients:
            error = self.world.heartbeat(
                self._own_id(client, options),
                self._generation(client, options),
                group=options.get("group", "g"),
                instance=options.get("instance"),
            )
            self.trace.append(f"{client}: heartbeat {ErrorCode(error).name}")

    def do_live(self, ms: str, *clients: str, instance: str | None = None) -> None:
        """live MS CLIENT ...: time passes while these send heartbeats; the last ones are shown."""
        left_ms = int(ms)
        while left_ms > 3_000:
            self.world.advance(3_000)
            left_ms -= 3_000
            for client in clients:
                self.world.heartbeat(self.ids[client][-1], self.generations[client])
        self.world.advance(left_ms)
        self.do_heartbeat(*clients, **({} if instance is None else {"instance": instance}))

    def do_leave(self, *members: str, group: str = "g") -> None:
        """leave MEMBER ...: a client, a member id, or `@INSTANCE`, or `ID@INSTANCE`."""
        identities: list[tuple[str, str | None]] = []
        for member in members:
            name, _, instance = member.partition("@")
            identities.append((self._id(name) if name else "", instance or None))
        pending = self.world.leave(*identities, group=group)
        pending.on_done(lambda done: self._left(" ".join(members), done))

    def do_commit(self, client: str, **options: str) -> None:
        """commit CLIENT [gen=] [id=] [instance=] [txn=yes]: may it commit now?"""
        error = self.world.groups.check_commit(
            options.get("group", "g"),
            self._own_id(client, options),
            options.get("instance"),
            self._generation(client, options),
            transactional="txn" in options,
        )
        self.trace.append(f"{client}: commit {error.name}")

    def do_describe(self, group: str = "g") -> None:
        """describe [GROUP]."""
        described = self.world.groups.describe(group)
        if described is None:
            self.trace.append(f"{group}: not found")
            return
        protocol = f"{described.protocol_type or '-'}/{described.protocol_data or '-'}"
        self.trace.append(f"{group}: {described.group_state} {protocol}")
        for member in described.members:
            instance = f"@{member.group_instance_id}" if member.group_instance_id else ""
            self.trace.append(
                f"  {self._name(member.member_id)}{instance} {member.client_id}{member.client_host}"
                f" metadata={bytes(member.member_metadata).decode()}"
                f" assignment={bytes(member.member_assignment).decode()}"
            )

    def do_list(self) -> None:
        """list: all groups."""
        for row in self.world.groups.listed():
            self.trace.append(
                f"{row.group_id}: {row.protocol_type or '-'} {row.group_state} {row.group_type}"
            )

    def do_delete(self, group: str = "g") -> None:
        """delete [GROUP]: as DeleteGroups does it, tombstone and all."""
        error, tombstone = self.world.groups.delete(group)
        self.trace.append(f"{group}: delete {error.name}")
        if tombstone is not None:
            self.world.journal.append([tombstone], lambda _: self.world.groups.forget(group))

    def do_timers(self) -> None:
        """timers: how many are set."""
        self.trace.append(f"timers: {len(self.world.timers)}")

    # --- answers

    def _joined(self, client: str, done: Pending[JoinGroupResponse]) -> None:
        response = done.result()
        if response.member_id and response.error_code in (
            ErrorCode.NONE,
            ErrorCode.MEMBER_ID_REQUIRED,
        ):
            self._learn(client, response.member_id)
        shown = self._name(response.member_id) or "-"
        if response.error_code != ErrorCode.NONE:
            self.trace.append(f"{client}: join {ErrorCode(response.error_code).name} id={shown}")
            return
        self.generations[client] = response.generation_id
        members = [
            f"{self._name(member.member_id)}"
            f"{'@' + member.group_instance_id if member.group_instance_id else ''}"
            f":{bytes(member.metadata).decode()}"
            for member in response.members
        ]
        self.trace.append(
            f"{client}: join gen={response.generation_id} id={shown}"
            f" leader={self._name(response.leader)}"
            f" {response.protocol_type}/{response.protocol_name}"
            f"{' skip-assignment' if response.skip_assignment else ''}"
            f"{' members=' + ','.join(members) if members else ''}"
        )

    def _synced(self, client: str, done: Pending[SyncGroupResponse]) -> None:
        response = done.result()
        if response.error_code != ErrorCode.NONE:
            self.trace.append(f"{client}: sync {ErrorCode(response.error_code).name}")
            return
        self.trace.append(
            f"{client}: sync {response.protocol_type}/{response.protocol_name}"
            f" assignment={bytes(response.assignment).decode()}"
        )

    def _left(self, members: str, done: Pending[LeaveGroupResponse]) -> None:
        response = done.result()
        codes = " ".join(ErrorCode(member.error_code).name for member in response.members)
        if response.error_code != ErrorCode.NONE:
            codes = f"({ErrorCode(response.error_code).name})"
        self.trace.append(f"{members}: leave {codes}")

    # --- names

    def _join(self, client: str, options: dict[str, str]) -> Pending[JoinGroupResponse]:
        protocols = [
            (name, data.encode())
            for name, _, data in (
                protocol.partition(":")
                for protocol in options.get("protocols", "range:meta").split(",")
                if protocol
            )
        ]
        return self.world.join(
            self._own_id(client, options),
            group=options.get("group", "g"),
            instance=options.get("instance"),
            protocols=protocols,
            protocol_type=options.get("type", "consumer"),
            session_ms=int(options.get("session", "10000")),
            rebalance_ms=int(options.get("rebalance", "60000")),
            version=int(options.get("version", "9")),
            client=Client(client, "/127.0.0.1"),
        )

    def _learn(self, client: str, member_id: str) -> None:
        known = self.ids.setdefault(client, [])
        if member_id not in known:
            known.append(member_id)
            self.names[member_id] = f"{client}.{len(known)}"

    def _name(self, member_id: str) -> str:
        return self.names.get(member_id, "?" if member_id else "")

    def _id(self, word: str) -> str:
        """The id behind a client's name (its last one), a shown name, or the word itself."""
        if word in self.ids:
            return self.ids[word][-1]
        return next((known for known, name in self.names.items() if name == word), word)

    def _own_id(self, client: str, options: dict[str, str]) -> str:
        if "id" in options:
            return "" if options["id"] == "none" else self._id(options["id"])
        return self.ids[client][-1] if client in self.ids else ""

    def _generation(self, client: str, options: dict[str, str]) -> int:
        return int(options.get("gen", self.generations.get(client, -1)))

    # --- what happens besides answers

    def _note_states(self) -> None:
        for row in self.world.groups.listed():
            if self.states.get(row.group_id) != row.group_state:
                self.states[row.group_id] = row.group_state
                self.trace.append(f"{row.group_id}: -> {row.group_state}")

    def _watch_journal(self) -> None:
        journal = self.world.journal
        append = journal.append

        def watched(records: object, done: object) -> None:
            for record in records:  # type: ignore[attr-defined]
                probe = type(journal)()
                probe.flushed = [record]
                for group_id, value in probe.groups().items():
                    self.trace.append(self._written(group_id, value))
                if record[1] is None:
                    self.trace.append("write tombstone")
            append(records, done)  # type: ignore[arg-type]

        journal.append = watched  # type: ignore[method-assign, assignment]

    def _written(self, group_id: str, value: GroupMetadataValue) -> str:
        members = [
            f"{self._name(member.member_id)}:{bytes(member.assignment).decode()}"
            for member in value.members
        ]
        return (
            f"write {group_id} gen={value.generation}"
            f" {value.protocol_type or '-'}/{value.protocol or '-'}"
            f" leader={self._name(value.leader or '') or '-'}"
            f" members={','.join(members) or '-'}"
        )
