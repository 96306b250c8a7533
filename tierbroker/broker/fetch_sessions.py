"""Incremental fetch sessions (KIP-227): what a consumer asks for is remembered here.

A session keeps the partitions of a fetch and what was last answered for each, so that a request
names only changes and an answer only partitions with news. Rules: Kafka's FetchSession and
FetchManager classes; limits keep the cache bounded whatever clients ask (INV-12).
"""

import random
from collections import OrderedDict
from collections.abc import Iterable

from tierbroker.base.clock import Clock
from tierbroker.base.errors import (
    FetchSessionIdNotFoundError,
    FetchSessionTopicIdError,
    InvalidFetchSessionEpochError,
)
from tierbroker.base.ids import Uuid
from tierbroker.wire.fetch import FetchPartition, FetchRequest, PartitionData

NO_SESSION = 0
INITIAL_EPOCH = 0
FINAL_EPOCH = -1
_MAX_EPOCH = 0x7FFFFFFF
TOPIC_IDS_FROM = 13
"""Fetch version from which topics are named by id alone (KIP-516)."""

TopicKey = str | Uuid
PartitionKey = tuple[TopicKey, int]


class FetchTarget:
    """One partition of a fetch: what is asked, and in a session what was last answered."""

    __slots__ = (
        "answered_high_watermark",
        "answered_log_start_offset",
        "answered_stable_offset",
        "asked",
        "topic",
        "topic_key",
    )

    def __init__(self, topic_key: TopicKey, asked: FetchPartition) -> None:
        self.topic_key = topic_key
        self.topic: str | None = topic_key if isinstance(topic_key, str) else None
        """The name, once known: a session keeps the one it was opened with."""
        self.asked = asked
        self.answered_high_watermark = -1
        self.answered_stable_offset = -1
        self.answered_log_start_offset = -1

    def has_news(self, data: PartitionData) -> bool:
        """Whether an incremental answer must contain the partition; remembers the answer."""
        news = (
            len(data.records or b"") > 0
            or data.error_code != 0
            or data.diverging_epoch is not None
            or data.high_watermark != self.answered_high_watermark
            or data.last_stable_offset != self.answered_stable_offset
            or data.log_start_offset != self.answered_log_start_offset
        )
        if data.error_code == 0:
            self.answered_high_watermark = data.high_watermark
            self.answered_stable_offset = data.last_stable_offset
            self.answered_log_start_offset = data.log_start_offset
        else:
            self.answered_high_watermark = -1
        return news


class FetchSession:
    """The remembered fetch of one consumer."""

    __slots__ = ("epoch", "id", "last_used_s", "partitions", "uses_topic_ids")

    def __init__(
        self, session_id: int, targets: Iterable[FetchTarget], uses_topic_ids: bool, now_s: float
    ) -> None:
        self.id = session_id
        self.epoch = 1
        self.uses_topic_ids = uses_topic_ids
        self.last_used_s = now_s
        self.partitions: OrderedDict[PartitionKey, FetchTarget] = OrderedDict(
            ((target.topic_key, target.asked.partition), target) for target in targets
        )

    def update(self, request: FetchRequest) -> None:
        """Apply what the request adds, changes and forgets."""
        for topic in request.topics:
            topic_key = topic.topic_id if self.uses_topic_ids else topic.topic
            for asked in topic.partitions:
                known = self.partitions.get((topic_key, asked.partition))
                if known is None:
                    self.partitions[topic_key, asked.partition] = FetchTarget(topic_key, asked)
                else:
                    known.asked = asked
        for forgotten in request.forgotten_topics_data:
            topic_key = forgotten.topic_id if self.uses_topic_ids else forgotten.topic
            for partition in forgotten.partitions:
                self.partitions.pop((topic_key, partition), None)


class FetchContext:
    """One fetch: the partitions to read, and how its answer is put together."""

    __slots__ = ("incremental", "session", "targets")

    def __init__(
        self, targets: list[FetchTarget], session: FetchSession | None, incremental: bool
    ) -> None:
        self.targets = targets
        self.session = session
        self.incremental = incremental

    @property
    def session_id(self) -> int:
        """What the answer says; 0 where there is no session."""
        return NO_SESSION if self.session is None else self.session.id

    def select(self, answers: list[PartitionData]) -> list[tuple[FetchTarget, PartitionData]]:
        """The partitions that the answer names; in a session, the served ones rotate back."""
        pairs = list(zip(self.targets, answers, strict=True))
        if self.session is None:
            return pairs
        if not self.incremental:
            # The first answer leaves the order as it was asked for.
            for target, data in pairs:
                target.has_news(data)
            return pairs
        pairs = [pair for pair in pairs if pair[0].has_news(pair[1])]
        partitions = self.session.partitions
        for target, data in pairs:
            if data.records:
                key = (target.topic_key, target.asked.partition)
                if key in partitions:
                    partitions.move_to_end(key)
        return pairs


def _targets(request: FetchRequest, version: int) -> list[FetchTarget]:
    by_id = version >= TOPIC_IDS_FROM
    targets: dict[PartitionKey, FetchTarget] = {}
    for topic in request.topics:
        topic_key = topic.topic_id if by_id else topic.topic
        for asked in topic.partitions:
            targets[topic_key, asked.partition] = FetchTarget(topic_key, asked)
    return list(targets.values())


class FetchSessionCache:
    """All sessions of this broker, the least recently used first."""

    def __init__(
        self, clock: Clock, rng: random.Random, slots: int, min_eviction_ms: int = 120_000
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._slots = slots
        self._min_eviction_s = min_eviction_ms / 1000
        self._sessions: OrderedDict[int, FetchSession] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, request: FetchRequest, version: int) -> FetchContext:
        """Find out which partitions a request fetches.

        Raises FetchSessionIdNotFoundError, InvalidFetchSessionEpochError,
        FetchSessionTopicIdError.
        """
        epoch = request.session_epoch
        if epoch in (FINAL_EPOCH, INITIAL_EPOCH):
            self._sessions.pop(request.session_id, None)
            targets = _targets(request, version)
            session = self._create(targets, version) if epoch == INITIAL_EPOCH else None
            return FetchContext(targets, session, incremental=False)
        session = self._sessions.get(request.session_id)
        if session is None:
            raise FetchSessionIdNotFoundError(f"no fetch session {request.session_id}")
        if epoch != session.epoch:
            raise InvalidFetchSessionEpochError(f"expected session epoch {session.epoch}")
        if session.uses_topic_ids != (version >= TOPIC_IDS_FROM):
            raise FetchSessionTopicIdError("the session was opened the other way")
        session.update(request)
        if not session.partitions:
            # Nothing is left to ask for: the session ends, as if the client had ended it.
            del self._sessions[session.id]
            return FetchContext([], None, incremental=False)
        session.epoch = 1 if session.epoch == _MAX_EPOCH else session.epoch + 1
        session.last_used_s = self._clock.monotonic()
        self._sessions.move_to_end(session.id)
        return FetchContext(list(session.partitions.values()), session, incremental=True)

    def _create(self, targets: list[FetchTarget], version: int) -> FetchSession | None:
        if not self._make_room():
            return None
        session_id = self._rng.randint(1, _MAX_EPOCH)
        while session_id in self._sessions:
            session_id = self._rng.randint(1, _MAX_EPOCH)
        session = FetchSession(
            session_id, targets, version >= TOPIC_IDS_FROM, self._clock.monotonic()
        )
        self._sessions[session_id] = session
        return session

    def _make_room(self) -> bool:
        if len(self._sessions) < self._slots:
            return True
        if not self._sessions:
            return False
        oldest = next(iter(self._sessions.values()))
        if self._clock.monotonic() - oldest.last_used_s < self._min_eviction_s:
            return False
        del self._sessions[oldest.id]
        return True
