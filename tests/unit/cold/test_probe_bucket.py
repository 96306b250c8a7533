"""What follows from what a bucket says about itself."""

import json
from dataclasses import replace

import pytest

from tierbroker.cold.probe import Finding, Verdict
from tierbroker.cold.probe_bucket import Wished, abort_rule, good_enough, judge_bucket
from tierbroker.cold.stores.s3_bucket import BucketFacts, LifecycleRule, ObjectLock

FACTS = BucketFacts(versioning=False, object_lock=None, lifecycle=(), lists_uploads=True)
WISHED = Wished(
    prefix="some/prefix/",
    storage_class=None,
    encryption=None,
    found_class="STANDARD",
    found_encryption="AES256",
    plain_http=False,
)


def judged(facts: BucketFacts = FACTS, wished: Wished = WISHED) -> dict[str, Finding]:
    return {finding.what: finding for finding in judge_bucket(facts, wished)}


def test_a_plain_bucket_is_fine() -> None:
    found = judged()
    assert {finding.verdict for finding in found.values()} == {Verdict.OK}
    assert good_enough(found.values())


@pytest.mark.parametrize(
    ("rule", "verdict", "said"),
    [
        (LifecycleRule("r", "some/", expires=True), Verdict.MISSING, "'r' deletes"),
        (LifecycleRule("", "", expires=True), Verdict.MISSING, "a rule deletes"),
        (LifecycleRule("r", "some/prefix/part/", expires=True), Verdict.MISSING, "deletes"),
        (LifecycleRule("r", "other/", expires=True), Verdict.OK, "no rule"),
        (LifecycleRule("r", "some/", ("DEEP_ARCHIVE",)), Verdict.MISSING, "DEEP_ARCHIVE"),
        (LifecycleRule("r", "some/", ("GLACIER",)), Verdict.MISSING, "GLACIER"),
        (LifecycleRule("r", "some/", ("GLACIER_IR", "STANDARD_IA")), Verdict.OK, "readable"),
        (LifecycleRule("r", "some/", aborts_after_days=3), Verdict.OK, "no rule"),
    ],
)
def test_lifecycle(rule: LifecycleRule, verdict: Verdict, said: str) -> None:
    finding = judged(replace(FACTS, lifecycle=(rule,)))["lifecycle"]
    assert finding.verdict is verdict
    assert said in finding.found


def test_versions_are_noted_until_a_rule_removes_them() -> None:
    facts = replace(FACTS, versioning=True)
    assert judged(facts)["versioning"].verdict is Verdict.NOTE
    rule = LifecycleRule("r", "", drops_versions=True)
    assert judged(replace(facts, lifecycle=(rule,)))["versioning"].verdict is Verdict.OK


@pytest.mark.parametrize(
    ("lock", "verdict"),
    [(ObjectLock(), Verdict.OK), (ObjectLock("COMPLIANCE", "30 days"), Verdict.NOTE)],
)
def test_object_lock(lock: ObjectLock, verdict: Verdict) -> None:
    assert judged(replace(FACTS, object_lock=lock))["object lock"].verdict is verdict


def test_what_may_not_be_asked_is_unknown_and_does_no_harm() -> None:
    denied = BucketFacts("AccessDenied", "AccessDenied", "AccessDenied", "AccessDenied")
    found = judged(denied)
    for what in ("versioning", "object lock", "lifecycle"):
        assert found[what].verdict is Verdict.UNKNOWN
        assert found[what].follows
    assert good_enough(found.values())


def test_unfinished_uploads_need_a_rule_where_they_are_not_listed() -> None:
    facts = replace(FACTS, lists_uploads=False)
    finding = judged(facts)["unfinished uploads"]
    assert finding.verdict is Verdict.NOTE
    assert finding.follows.endswith(abort_rule("some/prefix/"))
    rules = json.loads(abort_rule("some/prefix/"))["Rules"]
    assert rules[0]["Filter"] == {"Prefix": "some/prefix/"}
    has_rule = replace(facts, lifecycle=(LifecycleRule("r", "some/", aborts_after_days=3),))
    assert "3 days" in judged(has_rule)["unfinished uploads"].found
    elsewhere = replace(facts, lifecycle=(LifecycleRule("r", "other/", aborts_after_days=3),))
    assert judged(elsewhere)["unfinished uploads"].verdict is Verdict.NOTE


def test_encryption_that_was_asked_for_is_needed() -> None:
    wished = replace(WISHED, encryption="aws:kms", found_encryption="")
    assert judged(wished=wished)["encryption"].verdict is Verdict.MISSING
    wished = replace(WISHED, encryption="aws:kms", found_encryption="aws:kms")
    assert judged(wished=wished)["encryption"].verdict is Verdict.OK
    assert judged(wished=replace(WISHED, plain_http=True))["encryption"].verdict is Verdict.NOTE


@pytest.mark.parametrize(
    ("asked", "found", "verdict"),
    [
        ("GLACIER", "GLACIER", Verdict.MISSING),
        (None, "DEEP_ARCHIVE", Verdict.MISSING),
        ("STANDARD_IA", "STANDARD", Verdict.NOTE),
        ("GLACIER_IR", "GLACIER_IR", Verdict.OK),
    ],
)
def test_storage_class(asked: str | None, found: str, verdict: Verdict) -> None:
    wished = replace(WISHED, storage_class=asked, found_class=found)
    assert judged(wished=wished)["storage class"].verdict is verdict
