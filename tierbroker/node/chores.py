"""The upkeep of a node, made of what its parts want done by the clock."""

from tierbroker.base.config import ConfigValues
from tierbroker.node.parts import NodeParts
from tierbroker.node.transactions import transaction_chores
from tierbroker.node.upkeep import TURN_S, Chore, Upkeep


def make_upkeep(parts: NodeParts, values: ConfigValues) -> Upkeep:
    """What is due how often is in the settings."""
    storage, tiering, cleaning = parts.storage, parts.tiering, parts.cleaning
    return Upkeep(
        storage.logs,
        parts.partitions,
        storage.flusher,
        parts.clock,
        retention_every_s=values.integer("log.retention.check.interval.ms") / 1000,
        tiering=tiering,
        chores=(
            *(() if tiering is None else (Chore(TURN_S, tiering.tick),)),
            Chore(TURN_S, storage.scrub.tick),
            Chore(cleaning.every_s, cleaning.tick),
            Chore(
                values.integer("offsets.retention.check.interval.ms") / 1000,
                parts.groups.expire_offsets,
            ),
            *transaction_chores(parts.transactions, values),
        ),
    )
