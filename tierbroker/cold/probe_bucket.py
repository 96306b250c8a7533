"""What follows for the cold tier from what a bucket says about itself. Pure; asks nothing."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from tierbroker.cold.probe import Finding, Verdict
from tierbroker.cold.stores.s3_bucket import BucketFacts, LifecycleRule, ObjectLock

NOT_READ_AT_ONCE = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes whose objects must be restored before they can be read, which takes hours."""

LEFT_UPLOADS_DAYS = 2


@dataclass(frozen=True, slots=True)
class Wished:
    """What the settings ask of the store, and what a stored segment came to."""

    prefix: str
    """Of all keys, with a slash at its end unless it is empty."""
    storage_class: str | None
    encryption: str | None
    found_class: str
    found_encryption: str
    plain_http: bool
    """Requests travel unencrypted, and not on this machine alone."""


def judge_bucket(facts: BucketFacts, wished: Wished) -> list[Finding]:
    """One finding for each question."""
    return [
        _encryption(wished),
        _storage_class(wished),
        _lifecycle(facts.lifecycle, wished.prefix),
        _versioning(facts.versioning, facts.lifecycle),
        _object_lock(facts.object_lock),
        _unfinished_uploads(facts, wished.prefix),
    ]


def _encryption(wished: Wished) -> Finding:
    what, found = "encryption", wished.found_encryption or "the store names none"
    if wished.encryption is not None and wished.found_encryption != wished.encryption:
        return Finding(
            what,
            Verdict.MISSING,
            f"{wished.encryption} was asked for; {found}",
            "Objects are not encrypted as cold.s3.server.side.encryption says.",
        )
    if wished.plain_http:
        return Finding(
            what,
            Verdict.NOTE,
            f"{found}; http on the way",
            "Everybody on the way can read and change what is sent: use an https:// endpoint.",
        )
    return Finding(what, Verdict.OK, found)


def _storage_class(wished: Wished) -> Finding:
    what, found = "storage class", wished.found_class
    if found in NOT_READ_AT_ONCE:
        return Finding(
            what,
            Verdict.MISSING,
            found,
            "Cold records cannot be read at once: set another cold.s3.storage.class "
            "(GLACIER_IR can).",
        )
    if wished.storage_class is not None and found != wished.storage_class:
        return Finding(
            what,
            Verdict.NOTE,
            f"{found}, not {wished.storage_class}",
            "The store does not do what cold.s3.storage.class says.",
        )
    return Finding(what, Verdict.OK, found)


def _lifecycle(rules: tuple[LifecycleRule, ...] | str, prefix: str) -> Finding:
    what = "lifecycle"
    if isinstance(rules, str):
        return _unknown(what, rules, "A rule that deletes or archives objects would not be seen.")
    near = [rule for rule in rules if _touches(rule, prefix)]
    for rule in near:
        if rule.expires:
            return Finding(
                what,
                Verdict.MISSING,
                f"{_named(rule)} deletes objects below {prefix or 'the bucket'!r}",
                "Cold records would be lost: take this prefix out of the rule. "
                "Retention is a setting of topics.",
            )
    for rule in near:
        slow = sorted(NOT_READ_AT_ONCE.intersection(rule.transitions))
        if slow:
            return Finding(
                what,
                Verdict.MISSING,
                f"{_named(rule)} moves objects to {', '.join(slow)}",
                "Cold records cannot be read at once any more then: take this prefix out of the "
                "rule, or let it move them to GLACIER_IR.",
            )
    moves = sorted({name for rule in near for name in rule.transitions})
    if moves:
        return Finding(what, Verdict.OK, f"objects move to {', '.join(moves)}, readable at once")
    return Finding(what, Verdict.OK, "no rule deletes or archives objects")


def _versioning(versioning: bool | str, rules: tuple[LifecycleRule, ...] | str) -> Finding:
    what = "versioning"
    if isinstance(versioning, str):
        return _unknown(what, versioning, "Deleted objects may stay, and cost.")
    if not versioning:
        return Finding(what, Verdict.OK, "off: what is deleted is gone")
    if not isinstance(rules, str) and any(rule.drops_versions for rule in rules):
        return Finding(what, Verdict.OK, "on, and a lifecycle rule removes old versions")
    return Finding(
        what,
        Verdict.NOTE,
        "on: what is deleted stays as an old version",
        "Retention frees nothing until a lifecycle rule with NoncurrentVersionExpiration does.",
    )


def _object_lock(lock: ObjectLock | str | None) -> Finding:
    what = "object lock"
    if isinstance(lock, str):
        return _unknown(what, lock, "Objects may be impossible to delete for a while.")
    if lock is None:
        return Finding(what, Verdict.OK, "off")
    if not lock.mode:
        return Finding(what, Verdict.OK, "possible; new objects are not locked by themselves")
    return Finding(
        what,
        Verdict.NOTE,
        f"each new object is locked for {lock.period} ({lock.mode})",
        "Retention and the deletion of topics free nothing before that.",
    )


def _unfinished_uploads(facts: BucketFacts, prefix: str) -> Finding:
    what = "unfinished uploads"
    rules = () if isinstance(facts.lifecycle, str) else facts.lifecycle
    for rule in rules:
        if rule.aborts_after_days is not None and prefix.startswith(rule.prefix):
            days = rule.aborts_after_days
            return Finding(what, Verdict.OK, f"{_named(rule)} removes them after {days} days")
    if facts.lists_uploads is True:
        return Finding(what, Verdict.OK, "listed: the broker removes them")
    found = facts.lists_uploads if isinstance(facts.lists_uploads, str) else "not listed by prefix"
    return Finding(
        what,
        Verdict.NOTE,
        found,
        "MinIO removes them by itself after a day. Elsewhere the broker cannot, and they cost: "
        f"set the lifecycle rule {abort_rule(prefix)}",
    )


def abort_rule(prefix: str) -> str:
    """The rule to set, as `aws s3api put-bucket-lifecycle-configuration` takes it."""
    rule = {
        "ID": "tierbroker-unfinished-uploads",
        "Status": "Enabled",
        "Filter": {"Prefix": prefix},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": LEFT_UPLOADS_DAYS},
    }
    return json.dumps({"Rules": [rule]})


def _touches(rule: LifecycleRule, prefix: str) -> bool:
    """Whether it is about keys of ours: below our prefix, or in a part of it."""
    return prefix.startswith(rule.prefix) or rule.prefix.startswith(prefix)


def _named(rule: LifecycleRule) -> str:
    return f"the rule {rule.name!r}" if rule.name else "a rule"


def _unknown(what: str, reason: str, follows: str) -> Finding:
    return Finding(what, Verdict.UNKNOWN, reason, follows)


def good_enough(findings: Iterable[Finding]) -> bool:
    """Whether nothing is missing that the broker needs."""
    return all(finding.verdict is not Verdict.MISSING for finding in findings)
