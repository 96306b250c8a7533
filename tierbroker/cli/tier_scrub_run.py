"""Runs a scrub and says what was found, deleted, and left alone."""

from collections.abc import Mapping
from dataclasses import asdict

import click

from tierbroker.base.clock import SystemClock
from tierbroker.cli.archive_session import run_with_archive
from tierbroker.cli.counting import counted, verb
from tierbroker.cli.durations import duration_text
from tierbroker.cli.output import Column, print_json, print_rows
from tierbroker.cli.store_command import store_command
from tierbroker.cli.times import utc_text
from tierbroker.cold.archive import Archive
from tierbroker.cold.keys import incarnation_prefix
from tierbroker.cold.ports import ObjectStore
from tierbroker.cold.scrub import Orphan, Scrub, Scrubber, Tally

_COLUMNS = (
    Column("key", "OBJECT"),
    Column("what", "WHAT"),
    Column("bytes", "BYTES", numeric=True),
    Column("modified", "WRITTEN"),
)


def run_scrub(
    url: str,
    settings: Mapping[str, str],
    *,
    delete: bool,
    older_than_ms: int,
    earlier_incarnations: bool,
    as_json: bool,
) -> None:
    """Raises CommandFailedError. What is going to be deleted is printed before it is."""

    async def story(store: ObjectStore, archive: Archive) -> tuple[Archive, Scrub, int]:
        scrubber = Scrubber(
            store,
            archive,
            SystemClock(),
            older_than_ms=older_than_ms,
            earlier_incarnations=earlier_incarnations,
        )
        found = await scrubber.find()
        print_rows(_COLUMNS, map(_row, found.orphans), as_json=as_json)
        return archive, found, await scrubber.delete(found) if delete else 0

    archive, found, deleted = run_with_archive(url, settings, story)
    if as_json:
        summary = {"orphans": len(found.orphans), "deleted": deleted, **asdict(found.tally)}
        print_json(summary)
        return
    click.echo(_conclusion(archive, found, deleted), err=True)
    if found.orphans and not delete:
        words = ["tier", "scrub", url, "--delete", "--older-than", duration_text(older_than_ms)]
        words += ["--earlier-incarnations"] if earlier_incarnations else []
        click.echo(f"To delete them: {store_command(settings, *words)}", err=True)


def _row(orphan: Orphan) -> tuple[str, str, int | None, str]:
    size_bytes = orphan.size_bytes if orphan.size_bytes >= 0 else None
    return orphan.key, str(orphan.kind), size_bytes, utc_text(orphan.modified_ms)


def _conclusion(archive: Archive, found: Scrub, deleted: int) -> str:
    size_bytes = sum(max(orphan.size_bytes, 0) for orphan in found.orphans)
    what = f"{counted(len(found.orphans), 'orphan')} of {counted(size_bytes, 'byte')}"
    taken = utc_text(archive.checkpoint.taken_ms)
    lines = [
        f"Cluster {archive.head.cluster_id} as of {taken}: {what}"
        + (f", {deleted:,} deleted." if deleted else "."),
        *_left_alone(found.tally),
    ]
    if not found.tally.lists_uploads:
        prefix = incarnation_prefix(archive.head.cluster_id, archive.head.incarnation)
        lines.append(
            "The store does not list unfinished uploads. A lifecycle rule of the bucket removes "
            f"them: AbortIncompleteMultipartUpload after 1 day for {prefix}"
        )
    return "\n".join(lines)


def _left_alone(tally: Tally) -> list[str]:
    told = (
        (tally.alive, "counts", "count"),
        (
            tally.waiting,
            "is on its way, or is going to be deleted by the broker",
            "are on their way, or are going to be deleted by the broker",
        ),
        (tally.too_new, "is newer than the checkpoint", "are newer than the checkpoint"),
        (
            tally.too_young,
            "is an orphan, but younger than --older-than",
            "are orphans, but younger than --older-than",
        ),
        (
            tally.other_incarnations,
            "is of a host that a restore replaced, and is not known",
            "are of hosts that a restore replaced, and are not known",
        ),
        (
            tally.foreign,
            "is nothing that this release knows",
            "are nothing that this release knows",
        ),
    )
    return [
        f"{counted(count, 'object')} {verb(count, one, many)}."
        for count, one, many in told
        if count
    ]
