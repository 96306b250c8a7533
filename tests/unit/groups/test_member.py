"""What one member says and keeps."""

from typing import Any

import pytest

from tierbroker.base.pending import Pending
from tierbroker.groups.client import Client
from tierbroker.groups.member import Member, protocols_of
from tierbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol

SESSION: Any = None


def member(**protocols: bytes) -> Member:
    return Member(
        "m",
        "i",
        Client("c", "/::1"),
        SESSION,
        rebalance_timeout_ms=2,
        session_timeout_ms=1,
        protocols=protocols,
        assignment=b"kept",
    )


def request(*protocols: tuple[str, Any]) -> JoinGroupRequest:
    return JoinGroupRequest(protocols=[JoinGroupRequestProtocol(*each) for each in protocols])


def test_metadata_is_copied_out_of_the_frame() -> None:
    frame = bytearray(b"metadata")
    protocols = protocols_of(request(("range", memoryview(frame))))
    frame[:] = b"........"
    assert protocols == {"range": b"metadata"}


def test_a_protocol_given_twice_counts_once() -> None:
    assert protocols_of(request(("a", b"1"), ("b", b"2"), ("a", b"3"))) == {"a": b"1", "b": b"2"}


def test_it_offers_the_same_only_in_the_same_order() -> None:
    a, b = ("a", b"1"), ("b", b"2")
    offers = member(a=b"1", b=b"2").offers
    assert offers(protocols_of(request(a, b)))
    assert not offers(protocols_of(request(b, a)))
    assert not offers(protocols_of(request(a)))
    assert not offers(protocols_of(request(a, ("b", b"3"))))


def test_it_votes_for_what_it_likes_best_among_the_candidates() -> None:
    assert member(a=b"", b=b"", c=b"").vote({"c", "b"}) == "b"


def test_metadata_of_a_protocol_that_it_does_not_speak_is_empty() -> None:
    assert member(a=b"1").metadata("b") == b""
    assert member(a=b"1").metadata(None) == b""


@pytest.mark.parametrize("attribute", ["awaiting_join", "awaiting_sync"])
def test_a_parked_request_stands_for_heartbeats_but_not_that_of_a_new_member(
    attribute: str,
) -> None:
    one = member(a=b"")
    assert not one.is_parked
    setattr(one, attribute, Pending())
    assert one.is_parked
    one.is_new = True
    assert not one.is_parked


def test_its_record_has_all_of_it() -> None:
    record = member(a=b"1", b=b"2").as_record("b", b"new")
    assert record.member_id == "m"
    assert record.group_instance_id == "i"
    assert (record.client_id, record.client_host) == ("c", "/::1")
    assert (record.rebalance_timeout, record.session_timeout) == (2, 1)
    assert (record.subscription, record.assignment) == (b"2", b"new")


def test_it_is_described_with_metadata_only_for_a_protocol() -> None:
    assert member(a=b"1").as_described("a").member_metadata == b"1"
    described = member(a=b"1").as_described(None)
    assert described.member_metadata == b""
    assert described.member_assignment == b"kept"
