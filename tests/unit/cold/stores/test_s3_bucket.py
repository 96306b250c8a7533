"""Lifecycle rules as stores answer them."""

from xml.etree import ElementTree

from tierbroker.cold.stores.s3_bucket import LifecycleRule, parse_lifecycle


def parsed(rules: str) -> tuple[LifecycleRule, ...]:
    return parse_lifecycle(ElementTree.fromstring(f"<C>{rules}</C>"))


def test_each_kind_of_rule() -> None:
    rules = parsed(
        "<Rule><ID>old</ID><Status>Enabled</Status><Prefix>a/</Prefix>"
        "<Expiration><Days>3</Days></Expiration></Rule>"
        "<Rule><Status>Enabled</Status><Filter><Prefix>b/</Prefix></Filter>"
        "<Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition></Rule>"
        "<Rule><Status>Enabled</Status><Filter><And><Prefix>c/</Prefix>"
        "<Tag><Key>k</Key><Value>v</Value></Tag></And></Filter>"
        "<AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation>"
        "</AbortIncompleteMultipartUpload></Rule>"
        "<Rule><Status>Enabled</Status><Filter/>"
        "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays>"
        "</NoncurrentVersionExpiration></Rule>"
    )
    assert rules == (
        LifecycleRule("old", "a/", expires=True),
        LifecycleRule("", "b/", transitions=("GLACIER",)),
        LifecycleRule("", "c/", aborts_after_days=7, narrowed=True),
        LifecycleRule("", "", drops_versions=True),
    )


def test_a_rule_that_is_off_is_none() -> None:
    assert parsed("<Rule><Status>Disabled</Status><Prefix/></Rule>") == ()


def test_removing_delete_markers_is_no_expiration() -> None:
    (rule,) = parsed(
        "<Rule><Status>Enabled</Status><Expiration><ExpiredObjectDeleteMarker>true"
        "</ExpiredObjectDeleteMarker></Expiration></Rule>"
    )
    assert not rule.expires
