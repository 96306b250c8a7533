"""Damage that is found, or goes, while a log is in use. What a start finds is `log_loader`'s."""

from typing import TYPE_CHECKING

from tierbroker.hot.damage import Damage, Notice, report, write_note

if TYPE_CHECKING:
    from tierbroker.hot.log import Log


def add_damage(log: "Log", region: Damage, reason: str) -> None:
    """A region of a segment was found damaged: it is served no more, nor appended to.

    The note is written at once, waiting for the disk. Raises KafkaStorageError when it cannot be
    written; the region counts all the same, and the next start may have to find it anew.
    """
    segment = log.segments[log.segments.slot_of(region.segment)]
    assert segment.base_offset == region.segment, "the region's segment is gone"
    segment.damage = tuple(sorted((*segment.damage, region)))
    log.damage_notices[region] = Notice(log.now_ms(), reason)
    report(log.topic_partition, segment.handle.path, region, reason)
    settle_damage(log)
    if segment is log.segments.active:
        log.roll()


def settle_damage(log: "Log") -> None:
    """Segments came or went: take over what is known of their damage.

    Raises KafkaStorageError as `add_damage`.
    """
    damage = log.segments.damage
    if damage == log.damage:
        return
    log.damage = damage
    log.damage_notices = {region: log.damage_notices[region] for region in damage}
    try:
        write_note(log.fs, log.dir, log.damage_notices)
    except OSError as error:
        raise log.refusal(error) from error
