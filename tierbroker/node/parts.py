"""The parts of a started node, for its pages and its upkeep."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tierbroker.base.clock import Clock
    from tierbroker.base.executor import Executor
    from tierbroker.base.scheduler import Scheduler
    from tierbroker.broker.dispatch import Dispatcher
    from tierbroker.broker.fetch_sessions import FetchSessionCache
    from tierbroker.controller.driver import MetadataDriver
    from tierbroker.groups.coordinator import GroupCoordinator
    from tierbroker.node.cleaning import Cleaning
    from tierbroker.node.health import Health
    from tierbroker.node.storage import Storage
    from tierbroker.node.tiering import Tiering
    from tierbroker.replication.partitions import Partitions
    from tierbroker.server.server import Server
    from tierbroker.transactions.coordinator import TransactionCoordinator


class NodeParts(NamedTuple):
    """Bound together by the node, once all of them are there."""

    node_id: int
    started_at: float
    """By the monotonic clock."""
    health: "Health"
    clock: "Clock"
    scheduler: "Scheduler"
    executor: "Executor"
    storage: "Storage"
    controller: "MetadataDriver"
    partitions: "Partitions"
    server: "Server"
    dispatcher: "Dispatcher"
    fetch_sessions: "FetchSessionCache"
    groups: "GroupCoordinator"
    transactions: "TransactionCoordinator"
    cleaning: "Cleaning"
    tiering: "Tiering | None"
