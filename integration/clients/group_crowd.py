"""A program that is thousands of group members at once, on one connection each, raw protocol.

    python -m integration.clients.group_crowd BOOTSTRAP GROUPS MEMBERS SECONDS

Members do what librdkafka does: join (twice, when told to bring a member id), the leader assigns
everyone a slice of its own, sync, then a heartbeat every 3 seconds and a rejoin when told so. Once
every group is whole it goes on for SECONDS, and longer until each member had BEATS heartbeats
answered. Then it prints one JSON object: seconds until all was whole, heartbeats, rejoins and
evictions since then, the slowest heartbeat in milliseconds, and how many groups gave some member
another slice than its own.
"""

import asyncio
import json
import struct
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.header import decode_response_header
from tierbroker.wire.messages import load
from tierbroker.wire.messages.find_coordinator import FindCoordinatorRequest
from tierbroker.wire.messages.heartbeat import HeartbeatRequest
from tierbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from tierbroker.wire.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment

HEARTBEAT_S = 3.0
SESSION_TIMEOUT_MS = 45_000
REBALANCE_TIMEOUT_MS = 300_000
VERSIONS = {
    FindCoordinatorRequest: 2,
    JoinGroupRequest: 5,
    SyncGroupRequest: 3,
    HeartbeatRequest: 3,
}
"""Those of librdkafka."""
CONNECTING_AT_ONCE = 200
BEATS = 2


@dataclass
class Crowd:
    """What all members together saw."""

    wanted: dict[str, int] = field(default_factory=dict)
    stable: dict[str, set[str]] = field(default_factory=dict)
    """Group and generation -> members that have their assignment."""
    whole: set[str] = field(default_factory=set)
    heartbeats: int = 0
    content: int = 0
    """How many members had BEATS heartbeats answered."""
    rejoins: int = 0
    evictions: int = 0
    slowest_s: float = 0.0
    wrong_slices: int = 0
    measuring: bool = False

    def is_stable(self, group: str, generation: int, member_id: str) -> None:
        members = self.stable.setdefault(f"{group}/{generation}", set())
        members.add(member_id)
        if len(members) == self.wanted[group]:
            self.whole.add(group)

    def start_measuring(self) -> None:
        self.heartbeats = self.content = self.rejoins = self.evictions = 0
        self.measuring = True
        self.slowest_s = 0.0


class Member:
    """One member on its connection."""

    def __init__(self, crowd: Crowd, group: str) -> None:
        self._crowd = crowd
        self._group = group
        self._member_id = ""
        self._generation = -1
        self._number = 0
        self._beats = 0

    async def run(self, host: str, port: int, gate: asyncio.Semaphore) -> None:
        async with gate:
            self._reader, self._writer = await asyncio.open_connection(host, port)
        while (await self._call(FindCoordinatorRequest(key=self._group))).error_code:
            await asyncio.sleep(0.1)
        while True:
            await self._join()
            await self._beat_until_rebalance()

    async def _call(self, request: Any) -> Any:
        self._number += 1
        version = VERSIONS[type(request)]
        module = sys.modules[type(request).__module__]
        body = module.encode_request(request, version)
        head = struct.pack(">hhih5s", module.API_KEY, version, self._number, 5, b"crowd")
        self._writer.write(struct.pack(">i", len(head) + len(body)) + head + body)
        (size,) = struct.unpack(">i", await self._reader.readexactly(4))
        frame = await self._reader.readexactly(size)
        number, position = decode_response_header(module.API_KEY, version, frame)
        assert number == self._number, "answers out of order"
        return load(module.API_KEY).decode_response(frame, position, version)[0]

    async def _join(self) -> None:
        while True:
            joined = await self._call(
                JoinGroupRequest(
                    group_id=self._group,
                    session_timeout_ms=SESSION_TIMEOUT_MS,
                    rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
                    member_id=self._member_id,
                    protocol_type="consumer",
                    protocols=[JoinGroupRequestProtocol(name="range", metadata=bytes(60))],
                )
            )
            if joined.error_code == ErrorCode.MEMBER_ID_REQUIRED:
                self._member_id = joined.member_id
            elif joined.error_code == ErrorCode.UNKNOWN_MEMBER_ID:
                self._crowd.evictions += 1
                self._member_id = ""
            elif joined.error_code != ErrorCode.NONE:
                await asyncio.sleep(0.1)
            else:
                self._member_id = joined.member_id
                self._generation = joined.generation_id
                if await self._sync(joined):
                    return

    async def _sync(self, joined: Any) -> bool:
        slices = [
            SyncGroupRequestAssignment(
                member_id=member.member_id, assignment=self._slice_of(member.member_id)
            )
            for member in joined.members
        ]
        synced = await self._call(
            SyncGroupRequest(
                group_id=self._group,
                generation_id=self._generation,
                member_id=self._member_id,
                assignments=slices,
            )
        )
        if synced.error_code != ErrorCode.NONE:
            return False
        if bytes(synced.assignment) != self._slice_of(self._member_id):
            self._crowd.wrong_slices += 1
        self._crowd.is_stable(self._group, self._generation, self._member_id)
        return True

    def _slice_of(self, member_id: str) -> bytes:
        return f"{self._generation}/{member_id}".encode()

    async def _beat_until_rebalance(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            sent = time.monotonic()
            answer = await self._call(
                HeartbeatRequest(
                    group_id=self._group,
                    generation_id=self._generation,
                    member_id=self._member_id,
                )
            )
            self._crowd.heartbeats += 1
            if self._crowd.measuring:
                self._beats += 1
                self._crowd.content += self._beats == BEATS
            self._crowd.slowest_s = max(self._crowd.slowest_s, time.monotonic() - sent)
            if answer.error_code != ErrorCode.NONE:
                self._crowd.rejoins += 1
                if answer.error_code == ErrorCode.UNKNOWN_MEMBER_ID:
                    self._crowd.evictions += 1
                    self._member_id = ""
                return


async def main(bootstrap: str, groups: int, members: int, seconds: float) -> None:
    host, _, port = bootstrap.rpartition(":")
    crowd = Crowd(wanted={f"crowd-{number}": members for number in range(groups)})
    gate = asyncio.Semaphore(CONNECTING_AT_ONCE)
    started = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(Member(crowd, group).run(host, int(port), gate))
            for group in crowd.wanted
            for _ in range(members)
        ]
        while len(crowd.whole) < groups:
            await asyncio.sleep(0.05)
        whole_s = time.monotonic() - started
        await asyncio.sleep(2 * HEARTBEAT_S)
        crowd.start_measuring()
        await asyncio.sleep(seconds)
        while crowd.content < len(running):
            await asyncio.sleep(0.05)
        print(
            json.dumps(
                {
                    "whole_s": round(whole_s, 2),
                    "heartbeats": crowd.heartbeats,
                    "rejoins": crowd.rejoins,
                    "evictions": crowd.evictions,
                    "slowest_heartbeat_ms": round(crowd.slowest_s * 1000, 1),
                    "wrong_slices": crowd.wrong_slices,
                }
            )
        )
        for task in running:
            task.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
