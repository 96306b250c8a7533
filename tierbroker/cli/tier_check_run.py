"""Tries out a store and prints what was found."""

import os
import random
from collections.abc import Mapping
from urllib.parse import urlsplit

import click

from tierbroker.base.clock import SystemClock
from tierbroker.base.errors import InvalidConfigError
from tierbroker.base.fs import OsFileSystem
from tierbroker.base.story import until
from tierbroker.cli.broker_flags import DEFAULT_DATA
from tierbroker.cli.exits import CommandFailedError
from tierbroker.cli.output import Column, print_rows
from tierbroker.cold.errors import StoreError
from tierbroker.cold.ports import ObjectStore
from tierbroker.cold.probe import IN_PARTS, Finding, StoreProbe, Verdict
from tierbroker.cold.stores.directory import INCOMING, LOCK_FILE
from tierbroker.node.store_session import run_with_store

_COLUMNS = (
    Column("check", "CHECK"),
    Column("verdict", "VERDICT"),
    Column("found", "FOUND"),
    Column("follows", "WHAT FOLLOWS"),
)


def run_check(url: str, data: str | None, sets: Mapping[str, str], *, as_json: bool) -> None:
    """Raises CommandFailedError when something is missing."""
    env = os.environ
    log_dirs = data or sets.get("log.dirs") or env.get("TIERBROKER_LOG_DIRS", DEFAULT_DATA)
    made = _unused_directories(url)
    try:
        findings = run_with_store(
            url,
            {**sets, **IN_PARTS},
            env,
            lambda store: _probe(store, [path.strip() for path in log_dirs.split(",")]),
        )
    except (StoreError, InvalidConfigError, OSError) as error:
        raise CommandFailedError(f"{url} cannot be checked: {error}") from error
    finally:
        _remove_again(made)
    rows = [(what, str(verdict), found, follows) for what, verdict, found, follows in findings]
    print_rows(_COLUMNS, rows, as_json=as_json)
    missing = [finding.what for finding in findings if finding.verdict is Verdict.MISSING]
    if missing:
        raise CommandFailedError(
            f"{url} is not good for the cold tier: {', '.join(missing)}. See what follows above."
        )
    if not as_json:
        click.echo(f"\n{url} is good for the cold tier.{_notes(findings)}", err=True)


async def _probe(store: ObjectStore, log_dirs: list[str]) -> list[Finding]:
    async def look(key: str) -> list[Finding]:
        return await _look_at_place(store, key, log_dirs)

    probe = StoreProbe(store, SystemClock(), random.SystemRandom())
    try:
        return await probe.run(look)
    finally:
        await probe.clean_up()


async def _look_at_place(store: ObjectStore, key: str, log_dirs: list[str]) -> list[Finding]:
    """What is to be known of the place and not of what it does with objects."""
    if store.url.startswith("s3://"):
        return await _look_at_bucket(store, key)
    if store.url.startswith("file://"):
        from tierbroker.cold.probe_directory import judge_directory

        return judge_directory(store.url.removeprefix("file://"), log_dirs, OsFileSystem())
    return [
        Finding(
            "place",
            Verdict.NOTE,
            "this process's memory",
            "All of it is gone when the broker stops: for `tierbroker dev --ephemeral` alone.",
        )
    ]


async def _look_at_bucket(store: ObjectStore, key: str) -> list[Finding]:
    from tierbroker.cold.probe_bucket import Wished, judge_bucket
    from tierbroker.cold.stores.s3 import S3Store
    from tierbroker.cold.stores.s3_bucket import ask_bucket, encryption_of, storage_class_of

    assert isinstance(store, S3Store)
    prefix, path, settings = store.full_key(""), store.full_key(key), store.settings
    facts = await until(store.ask(lambda ask: ask_bucket(ask, prefix, f"{path}.left")))
    wished = Wished(
        prefix=prefix,
        storage_class=settings.storage_class,
        encryption=settings.server_side_encryption,
        found_class=await until(store.ask(lambda ask: storage_class_of(ask, path))),
        found_encryption=await until(store.ask(lambda ask: encryption_of(ask, path))),
        plain_http=settings.is_plain_http,
    )
    return judge_bucket(facts, wished)


def _notes(findings: list[Finding]) -> str:
    others = [
        finding.what for finding in findings if finding.verdict in (Verdict.NOTE, Verdict.UNKNOWN)
    ]
    return f" To be known: {', '.join(others)}." if others else ""


def _unused_directories(url: str) -> list[str]:
    """What of a directory store the check will make, the deepest first: to be removed again."""
    parts = urlsplit(url)
    if parts.scheme != "file" or not parts.path:
        return []
    unused = []
    path = root = os.path.abspath(parts.path)
    while not os.path.isdir(path):
        unused.append(path)
        path = os.path.dirname(path)
    if path == root and os.listdir(root):
        return []
    return [f"{root}/{INCOMING}", f"{root}/{LOCK_FILE}", *unused]


def _remove_again(made: list[str]) -> None:
    for path in made:
        try:
            os.unlink(path) if path.endswith(LOCK_FILE) else os.rmdir(path)
        except OSError:
            continue  # never made, or somebody else has begun to use it
