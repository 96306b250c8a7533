"""Writes transaction markers to partitions, for this broker's coordinator and for others.

A marker on the offsets topic ends pending commits of groups as well: in the order of the log, and
only once the marker is visible. Never decides how a transaction ends.
"""

from typing import Protocol

from tierbroker.base.clock import Clock
from tierbroker.base.errors import ApiError
from tierbroker.base.ids import TopicPartition
from tierbroker.controller.state.topics import OFFSETS_TOPIC
from tierbroker.replication.markers import append_marker
from tierbroker.replication.partition import Partition
from tierbroker.transactions.ports import Marker, MarkerDone
from tierbroker.wire.error_codes import ErrorCode, code_of


class Groups(Protocol):
    """What a marker means to the group coordinator."""

    def complete_transaction(self, partition: int, producer_id: int, *, commit: bool) -> None:
        """The offsets that the producer has pending there count now, or are gone."""


class HeldPartitions(Protocol):
    """The partitions of this broker."""

    def find(self, place: TopicPartition) -> Partition | None:
        """The replica held here, if there is one."""


class PartitionMarkers:
    """The coordinator's way to its partitions. Loop thread only."""

    def __init__(self, partitions: HeldPartitions, groups: Groups, clock: Clock) -> None:
        self._partitions = partitions
        self._groups = groups
        self._clock = clock

    def write(self, partition: TopicPartition, marker: Marker, done: MarkerDone) -> None:
        """Append the marker; `done` gets NONE once it is visible, perhaps in this call.

        UNKNOWN_TOPIC_OR_PARTITION when the partition is not here, else the error of the append.
        """
        held = self._partitions.find(partition)
        if held is None:
            done(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
            return

        def finish(error: ApiError | None) -> None:
            if error is None and partition.topic == OFFSETS_TOPIC:
                self._groups.complete_transaction(
                    partition.partition, marker.producer_id, commit=marker.commit
                )
            done(ErrorCode.NONE if error is None else code_of(error))

        append_marker(
            held,
            producer_id=marker.producer_id,
            producer_epoch=marker.producer_epoch,
            commit=marker.commit,
            coordinator_epoch=marker.coordinator_epoch,
            transaction_version=marker.transaction_version,
            now_ms=self._clock.now_ms(),
            done=finish,
        )
