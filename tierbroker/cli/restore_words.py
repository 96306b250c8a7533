"""What `tierbroker restore` says of a checkpoint that is not the newest. Pure."""

from collections.abc import Iterator, Sequence

from tierbroker.cli.counting import counted
from tierbroker.cli.sizes import span_text
from tierbroker.cli.times import utc_text
from tierbroker.cold.archive import CheckpointFault
from tierbroker.cold.head import CheckpointName
from tierbroker.node.older_checkpoint import OlderCheckpointError, Since
from tierbroker.node.restoring import Restored

SHOWN_PARTITIONS = 10


def refusal(error: OlderCheckpointError) -> str:
    """Nothing was restored: what could be, what is lost by that, and how."""
    latest = error.latest
    older = latest.checkpoint
    return "\n".join(
        (
            f"Nothing was restored: of cluster {latest.head.cluster_id} {_unread(latest.faults)}",
            f"The newest one that can be read is {_name(older)}, {_age(latest.faults, older)}. "
            "By taking it you would lose:",
            *_losses(error.since, older),
            "If the bucket keeps versions, or has a replica, put the newest one back and restore "
            "again: nothing of that is lost then.",
            f"To take the older one all the same, add: --checkpoint {older.sequence}",
        )
    )


def older_text(restored: Restored) -> str:
    """What was lost, with a newline; nothing where the newest checkpoint was taken."""
    if restored.since is None:
        return ""
    older = restored.checkpoint
    lines = (
        f"This is not the newest checkpoint, as was agreed to: {_unread(restored.faults)}",
        f"Taken was {_name(older)}, {_age(restored.faults, older)}. Lost by that:",
        *_losses(restored.since, older),
        "Until the restored cluster has written a checkpoint of its own, the newest one can be put "
        "back, and be restored into another directory.",
    )
    return "".join(f"{line}\n" for line in lines)


def older_fields(restored: Restored) -> dict[str, object] | None:
    """The same for programs."""
    since = restored.since
    if since is None:
        return None
    return {
        "unread": [
            {
                "checkpoint": fault.name.sequence,
                "checkpoint_taken_ms": fault.name.taken_ms,
                "key": fault.name.key,
                "reason": str(fault.error),
            }
            for fault in restored.faults
        ],
        "listed": since.listed,
        "uploaded_since": {
            "objects": since.objects,
            "offsets": since.offsets,
            "topics_made_since": len(since.unknown_topics),
        },
        "gone_since": [
            {"topic": place.topic, "partition": place.partition, "offsets": count}
            for place, count in sorted(since.gone.items())
        ],
    }


def _name(name: CheckpointName) -> str:
    return f"{name.sequence} of {utc_text(name.taken_ms)}"


def _unread(faults: Sequence[CheckpointFault]) -> str:
    told = "; ".join(
        f"checkpoint {_name(fault.name)} cannot be read: {fault.error}" for fault in faults
    )
    return f"{told}."


def _age(faults: Sequence[CheckpointFault], older: CheckpointName) -> str:
    return f"{span_text(max(faults[0].name.taken_ms - older.taken_ms, 0))} older"


def _losses(since: Since, older: CheckpointName) -> Iterator[str]:
    yield (
        f"  - all changes since {utc_text(older.taken_ms)}: of topics, settings, and offsets that "
        "groups committed"
    )
    if not since.listed:
        yield "  - records that were uploaded since; how many is not known: the store is not listed"
        return
    if since.objects:
        made = counted(len(since.unknown_topics), "topic") if since.unknown_topics else ""
        yield (
            f"  - {counted(since.offsets, 'offset')} of "
            f"{counted(len(since.ends), 'partition')} that were uploaded since"
            + (f", and all of {made} made since" if made else "")
            + f"; the store keeps their {counted(since.objects, 'object')}, unknown to the cluster"
        )
    else:
        yield "  - no record: nothing was uploaded since"
    gone = sorted(since.gone.items())
    for place, count in gone[:SHOWN_PARTITIONS]:
        yield (
            f"  - {counted(count, 'offset')} of {place} that it names, and that retention or the "
            "deletion of the topic has removed since: reads fail there until kafka-delete-records "
            "moves the log start"
        )
    if len(gone) > SHOWN_PARTITIONS:
        rest = gone[SHOWN_PARTITIONS:]
        yield (
            f"  - {counted(sum(count for _, count in rest), 'offset')} more of that kind, of "
            f"{counted(len(rest), 'partition')}"
        )
