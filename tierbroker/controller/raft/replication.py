"""How the log spreads: fetches, where logs part, and the timers of a leader.

A fetch from offset N says that the replica has flushed everything below N. The rules follow
KafkaRaftClient: a leader checks that the follower's last epoch ends where it says, and answers
where the logs part if it does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tierbroker.base.errors import CorruptMessageError
from tierbroker.controller.raft import election
from tierbroker.controller.raft.messages import (
    Envelope,
    FetchRequest,
    FetchResponse,
    RaftError,
)
from tierbroker.controller.raft.quorum import is_majority
from tierbroker.controller.raft.roles import Follower, Leader, ParkedFetch, Progress
from tierbroker.controller.raft.types import NO_NODE, Entry, OffsetAndEpoch
from tierbroker.records.batch import crc_valid, walk

if TYPE_CHECKING:
    from tierbroker.controller.raft.core import RaftCore


# the leader's side


def leader_deadline_ms(core: RaftCore, leader: Leader) -> int | None:
    """When a leader has something to do at the latest; a quorum of one never has."""
    times = [parked.deadline_ms for parked in leader.parked.values()]
    if leader.unacknowledged:
        times.append(leader.announce_ms)
    if len(core.voters.ids) > 1:
        times.append(_quorum_lost_ms(core, leader))
    return min(times, default=None)


def tick_leader(core: RaftCore, leader: Leader) -> None:
    """Resign without a majority that fetches, repeat announcements, answer parked fetches."""
    if len(core.voters.ids) > 1 and core.now_ms >= _quorum_lost_ms(core, leader):
        election.resign(core, leader)
        return
    if leader.unacknowledged and core.now_ms >= leader.announce_ms:
        election.announce(core, leader)
    for replica, parked in list(leader.parked.items()):
        if core.now_ms >= parked.deadline_ms:
            del leader.parked[replica]
            _answer_fetch(core, leader, parked)


def wake_parked(core: RaftCore, leader: Leader) -> None:
    """There is more log or a higher high watermark: answer who waits for it."""
    parked, leader.parked = leader.parked, {}
    for fetch in parked.values():
        _answer_fetch(core, leader, fetch)


def on_fetch_request(core: RaftCore, envelope: Envelope, request: FetchRequest) -> None:
    """A replica acknowledges what it has and asks for more."""
    leader = core.role
    if not isinstance(leader, Leader) or request.epoch != core.epoch:
        error = RaftError.NOT_LEADER
        if request.epoch < core.epoch:
            error = RaftError.FENCED_LEADER_EPOCH
        elif request.epoch > core.epoch:
            error = RaftError.UNKNOWN_LEADER_EPOCH
        answer = FetchResponse(core.epoch, core.leader_id, error=error)
        core.send(envelope.peer, answer, envelope.correlation)
        return
    parting = _parting(core, request)
    if parting is not None:
        core.send(envelope.peer, parting, envelope.correlation)
        return
    replica = request.replica.id
    progress = leader.progress.setdefault(replica, Progress())
    progress.fetch_offset = max(progress.fetch_offset, request.offset)
    progress.last_fetch_ms = core.now_ms
    leader.unacknowledged.discard(replica)
    core.update_high_watermark(leader)
    fetch = ParkedFetch(
        envelope.peer, envelope.correlation, request, core.now_ms + request.max_wait_ms
    )
    if request.offset < core.log.end_offset or progress.sent_high_watermark < core.high_watermark:
        _answer_fetch(core, leader, fetch)
    else:
        leader.parked[replica] = fetch


def _parting(core: RaftCore, request: FetchRequest) -> FetchResponse | None:
    """The answer to a replica whose log is not a prefix of this one."""
    if request.offset < core.log.start.offset:
        return FetchResponse(
            core.epoch, core.local.id, core.high_watermark, snapshot=core.latest_snapshot
        )
    end = core.log.end_of_epoch(request.last_fetched_epoch)
    if end.epoch != request.last_fetched_epoch or end.offset < request.offset:
        return FetchResponse(core.epoch, core.local.id, core.high_watermark, diverging=end)
    return None


def _answer_fetch(core: RaftCore, leader: Leader, fetch: ParkedFetch) -> None:
    leader.progress[fetch.request.replica.id].sent_high_watermark = core.high_watermark
    offset = fetch.request.offset
    answer = FetchResponse(
        core.epoch,
        core.local.id,
        core.high_watermark,
        read_from=offset if offset < core.log.end_offset else None,
    )
    core.send(fetch.peer, answer, fetch.correlation)


def _quorum_lost_ms(core: RaftCore, leader: Leader) -> int:
    """When the last majority of voters (this one counts) will have been silent for too long."""
    seen = sorted(
        (leader.progress[node].last_fetch_ms for node in core.voters.ids if node != core.local.id),
        reverse=True,
    )
    needed = next(n for n in range(len(seen) + 1) if is_majority(n + 1, len(core.voters.ids)))
    return seen[needed - 1] + core.config.fetch_timeout_ms * 3 // 2


# the follower's side


def maybe_fetch(core: RaftCore) -> None:
    """Ask the leader for more, unless an answer is due or an append is not flushed yet."""
    role = core.role
    if not isinstance(role, Follower):
        return
    if core.now_ms < role.retry_ms:
        return
    if core.log.flushed_offset < core.log.end_offset:
        return  # the offset of a fetch acknowledges; it must not run ahead of the disk
    role.fetch_correlation = _fetch_from(core, core.leader_id)
    role.retry_ms = core.now_ms + core.config.request_timeout_ms


def ask_for_leader(core: RaftCore) -> None:
    """A replica without a vote or a leader asks any voter: the answer names the leader."""
    _fetch_from(core, core.rng.choice(sorted(core.voters.ids)))


def _fetch_from(core: RaftCore, node: int) -> int:
    return core.send(
        node,
        FetchRequest(
            epoch=core.epoch,
            replica=core.local,
            offset=core.log.end_offset,
            last_fetched_epoch=core.log.last_epoch,
            max_wait_ms=core.config.fetch_max_wait_ms,
        ),
    )


def on_fetch_response(core: RaftCore, envelope: Envelope, response: FetchResponse) -> None:
    """The leader's answer: entries, a parting, a snapshot to load, or better knowledge."""
    if election.learn(core, response.epoch, response.leader_id):
        return
    role = core.role
    if not isinstance(role, Follower) or response.epoch != core.epoch:
        return
    if envelope.peer != core.leader_id or envelope.correlation != role.fetch_correlation:
        # An answer that comes late may name a parting that is mended: acting on it would drop
        # entries that this replica has acknowledged since.
        return
    role.fetch_correlation = None
    role.retry_ms = core.now_ms
    if response.error is not None:
        role.retry_ms = core.now_ms + core.config.retry_backoff_ms
        if response.leader_id == NO_NODE:
            election.become_unattached(core, core.epoch)
        return
    role.deadline_ms = core.now_ms + core.config.fetch_timeout_ms
    role.has_fetched = True
    if response.snapshot is not None:
        core.fetch_snapshot = response.snapshot
        role.retry_ms = core.now_ms + core.config.fetch_timeout_ms
    elif response.diverging is not None:
        core.truncate(_common_end(core, response.diverging))
    else:
        _append_fetched(core, response.data)
        committed = min(response.high_watermark, core.log.end_offset)
        core.high_watermark = max(core.high_watermark, committed)


def _common_end(core: RaftCore, diverging: OffsetAndEpoch) -> int:
    own = core.log.end_of_epoch(diverging.epoch)
    if own.epoch == diverging.epoch:
        return min(own.offset, diverging.offset)
    return own.offset


def _append_fetched(core: RaftCore, data: bytes) -> None:
    """Append whole, valid batches that continue the log; stop at the first that does not."""
    try:
        for position, header in walk(data):
            follows = header.base_offset == core.log.end_offset
            if not follows or not crc_valid(data, position, header):
                return
            core.append_to_log(
                Entry(
                    base_offset=header.base_offset,
                    count=header.last_offset_delta + 1,
                    epoch=header.partition_leader_epoch,
                    data=data[position : position + header.size_bytes],
                )
            )
    except CorruptMessageError:
        return  # what was good is appended; the next fetch asks again from there
