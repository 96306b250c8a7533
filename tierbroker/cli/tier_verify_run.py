"""Runs a verification: says what it takes, keeps its progress, prints what is wrong."""

import json
import os
from dataclasses import asdict, dataclass
from typing import Any

import click

from tierbroker.base.clock import SystemClock
from tierbroker.base.fs import OsFileSystem, write_atomically
from tierbroker.base.ids import uuid_text
from tierbroker.cli.archive_session import check_topic, run_with_archive
from tierbroker.cli.counting import counted, verb
from tierbroker.cli.exits import CommandFailedError
from tierbroker.cli.output import Column, print_json, print_rows
from tierbroker.cli.progress import ProgressBar
from tierbroker.cli.times import utc_text
from tierbroker.cold.archive import Archive
from tierbroker.cold.ports import ObjectStore
from tierbroker.cold.verify import Counts, Finding, Kind, Place, Plan, Verifier
from tierbroker.node.archived import open_archive

SAVE_EVERY_S = 2.0
FORMAT = 1

_COLUMNS = (
    Column("topic", "TOPIC"),
    Column("partition", "PARTITION", numeric=True),
    Column("first_offset", "FIRST OFFSET", numeric=True),
    Column("last_offset", "LAST OFFSET", numeric=True),
    Column("what", "WHAT"),
    Column("key", "OBJECT"),
    Column("reason", "REASON"),
    Column("next_step", "WHAT TO DO"),
)
_NEXT_STEPS = {
    Kind.MISSING: "Put the object back under this key, from a version that the bucket keeps or "
    "from a replica; until then reads of these offsets fail with KAFKA_STORAGE_ERROR. If there is "
    "none: kafka-delete-records moves the log start behind them.",
    Kind.DAMAGED: "Put an intact copy under this key, from a version that the bucket keeps or "
    "from a replica; until then reads of what is damaged fail with KAFKA_STORAGE_ERROR. If the "
    "object was written like this (its checksum is right), report it.",
}


_CHECKPOINT_STEP = (
    "Nothing is lost while the broker has its disk: it writes a new checkpoint with its next "
    "change. Without it, put the object back from a version that the bucket keeps."
)


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """What one run was asked to do."""

    url: str
    settings: dict[str, str]
    topic: str | None
    share: float
    resume: str | None
    as_json: bool
    show_progress: bool


def run_verify(options: VerifyOptions) -> None:
    """Raises CommandFailedError when anything is wrong, or cannot be verified."""
    run = _Run(options)
    findings, counts = run_with_archive(options.url, options.settings, run.story)
    rows = [
        (*finding[:4], str(finding.kind), *finding[5:], _next_step(finding)) for finding in findings
    ]
    print_rows(_COLUMNS, rows, as_json=options.as_json)
    if options.as_json:
        print_json({**asdict(counts), "findings": len(findings)})
    if findings:
        raise CommandFailedError(
            f"{len(findings):,} of {counted(counts.objects, 'object')} in {options.url} "
            f"{verb(len(findings), 'is not as it should be', 'are not as they should be')}."
        )
    click.echo(
        f"{counted(counts.objects, 'object')} "
        f"{verb(counts.objects, 'is as it should be', 'are as they should be')}; "
        f"{counts.read_whole:,} of the segments {verb(counts.read_whole, 'was', 'were')} read "
        f"whole. {counted(counts.requests, 'request')}, {_size(counts.bytes)}.",
        err=True,
    )


def _next_step(finding: Finding) -> str:
    return _CHECKPOINT_STEP if finding.topic is None else _NEXT_STEPS[finding.kind]


class _Run:
    """One run, with its progress file if there is one."""

    def __init__(self, options: VerifyOptions) -> None:
        self._options = options
        self._path = None if options.resume is None else os.path.abspath(options.resume)
        self._place: Place | None = None
        self._fs = OsFileSystem()
        self._clock = SystemClock()
        self._next_save = self._clock.monotonic() + SAVE_EVERY_S
        self._verifier: Verifier
        self._store_id = ""
        self._earlier: list[Finding] = []

    async def story(self, store: ObjectStore, archive: Archive) -> tuple[list[Finding], Counts]:
        """Verify; the findings of earlier runs that the file keeps are among the answer."""
        options = self._options
        if options.topic is not None:
            check_topic(archive, options.topic, options.url, options.settings)
        self._store_id = uuid_text(archive.head.store_id)
        after = self._load()
        enabled = options.show_progress
        topics = tuple(archive.topics) if options.topic is None else (options.topic,)
        self._verifier = verifier = Verifier(
            store,
            archive,
            topics=topics,
            share=options.share,
            after=after,
            on_checked=self._checked,
        )
        verifier.findings += self._earlier
        plan = verifier.plan()
        self._announce(archive, plan, after)
        with ProgressBar("Verifying", plan.requests, enabled=enabled, noun="objects") as self._bar:
            try:
                await verifier.run()
            finally:
                self._save()
            await verifier.drop_retired(lambda: open_archive(store))
        self._remove()
        return verifier.findings, verifier.counts

    def _announce(self, archive: Archive, plan: Plan, after: Place | None) -> None:
        rest = "" if after is None else f", behind {after.topic}-{after.partition} offset "
        rest += "" if after is None else f"{after.end_offset}"
        click.echo(
            f"Cluster {archive.head.cluster_id} as of {utc_text(archive.checkpoint.taken_ms)}"
            f"{rest}: {counted(plan.objects, 'object')}, {counted(plan.read_whole, 'segment')} to "
            f"be read whole; about {counted(plan.requests, 'request')} and {_size(plan.bytes)}.",
            err=True,
        )

    def _checked(self, place: Place) -> None:
        self._place = place
        counts = self._verifier.counts
        self._bar.update(counts.requests, counts.objects)
        if self._clock.monotonic() >= self._next_save:
            self._save()
            self._next_save = self._clock.monotonic() + SAVE_EVERY_S

    # -- the file of --resume --------------------------------------------------------------------

    def _identity(self) -> dict[str, Any]:
        """What must be the same for going on."""
        return {
            "format": FORMAT,
            "store_id": self._store_id,
            "topic": self._options.topic,
            "share": self._options.share,
        }

    def _load(self) -> Place | None:
        path = self._path
        if path is None:
            return None
        if not self._fs.exists(path):
            self._try_to_write(path)
            return None
        try:
            content = json.loads(self._fs.read_file(path))
            same = {name: content[name] for name in self._identity()} == self._identity()
            self._earlier = [
                Finding._make(row)._replace(kind=Kind(row[4])) for row in content["findings"]
            ]
            place = Place(*content["checked_to"])
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise CommandFailedError(
                f"{path} keeps no progress of a verification ({error!r}). Name another file for "
                "--resume, or remove this one."
            ) from error
        if not same:
            raise CommandFailedError(
                f"{path} keeps the progress of another verification: of another store, topic or "
                "sample. Name another file for --resume, or remove this one."
            )
        return place

    def _try_to_write(self, path: str) -> None:
        """Before hours of work that could not be kept."""
        try:
            write_atomically(self._fs, path, b"")
            self._fs.unlink(path)
        except OSError as error:
            raise _no_place(path, error) from error

    def _save(self) -> None:
        path = self._path
        if path is None or self._place is None:
            return
        content = {
            **self._identity(),
            "checked_to": self._place,
            "findings": self._verifier.findings,
        }
        try:
            write_atomically(self._fs, path, json.dumps(content).encode())
        except OSError as error:
            raise _no_place(path, error) from error

    def _remove(self) -> None:
        path = self._path
        if path is not None and self._fs.exists(path):
            self._fs.unlink(path)


def _no_place(path: str, error: OSError) -> CommandFailedError:
    return CommandFailedError(
        f"The progress cannot be kept in {path}: {error.strerror}. Name another file for --resume."
    )


def _size(size_bytes: int) -> str:
    value = float(size_bytes)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024:
            return counted(size_bytes, "byte") if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
