"""The comparison itself: what it sees, what it lets pass, and what it says. No broker is needed."""

from pathlib import Path
from typing import Any

import pytest

from integration.differential.compare import (
    Known,
    brief,
    differences,
    load_known,
    report,
    unknown,
)
from integration.differential.messages import Id, as_plain, build_request
from integration.differential.runner import common
from integration.differential.scenarios import chosen, load_scenarios
from integration.differential.script import since, until
from integration.differential.transcript import Step, Transcript
from integration.differential.varying import Names
from tierbroker.records.builder import build_batch
from tierbroker.records.record import Record
from tierbroker.wire.api_keys import ApiKey

NOW_MS = 1_800_000_000_000
START_MS = NOW_MS - 3_600_000
TOKEN = "-abc123"


def names(port: int = 9092) -> Names:
    return Names("127.0.0.1", port, TOKEN, START_MS, NOW_MS)


def transcript(broker: str, *answers: Any, broken: str = "") -> Transcript:
    steps = [Step(f"client: Fetch v{n}", "Fetch", {"asked": n}, a) for n, a in enumerate(answers)]
    return Transcript("fetch.some", broker, steps, broken)


def compared(kafka: Any, tierbroker: Any) -> list[tuple[str, Any, Any]]:
    found = differences(transcript("kafka", kafka), transcript("tierbroker", tierbroker))
    return [(d.path, d.kafka, d.tierbroker) for d in found]


def test_the_outermost_fields_that_differ() -> None:
    assert compared({"a": [{"b": 1}]}, {"a": [{"b": 1}]}) == []
    assert compared({"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": 3}]}) == [
        ("a[0].b", 1, 3),
        ("a[1]", {"b": 2}, "(absent)"),
    ]
    assert compared({"a": 1}, "closes the connection") == [("", {"a": 1}, "closes the connection")]
    assert compared({"a": None}, {"a": []}) == [("a", None, [])]


def test_a_script_that_ends_early_differs_even_if_it_does_so_twice() -> None:
    ends = [transcript(name, {"a": 1}, broken="no answer") for name in ("kafka", "tierbroker")]
    (found,) = differences(ends[0], ends[1])
    assert (found.api, found.path, found.kafka) == ("script", "end", "no answer")
    assert "no answer" in report(ends[0], ends[1], [found])


def test_a_report_shows_request_fields_and_a_diff() -> None:
    kafka = transcript("kafka", {"error_code": "NONE", "left": 1}, {"error_code": "NONE"})
    ours = transcript("tierbroker", {"error_code": "OTHER", "left": 1}, {"error_code": "NONE"})
    found = differences(kafka, ours)
    text = report(kafka, ours, found, "what it shows")
    assert "fetch.some: what it shows" in text
    assert "step 1: client: Fetch v0" in text
    assert "sent: asked=0" in text
    assert "    -error_code: NONE\n    +error_code: OTHER" in text
    assert "error_code: kafka NONE, tierbroker OTHER" in brief(kafka, found)


def test_known_differences_cover_what_they_say_and_no_more(tmp_path: Path) -> None:
    file = tmp_path / "known.toml"
    file.write_text(
        '[[difference]]\nscenario = "fetch.*"\npath = ["a[*].b", "c"]\nkafka = "1"\nreason = "so"\n'
    )
    known = load_known(file)
    assert [entry.path for entry in known] == ["a[*].b", "c"]
    kafka = transcript("kafka", {"a": [{"b": 1}], "c": 2, "d": 1})
    found = differences(kafka, transcript("tierbroker", {"a": [{"b": 0}], "c": 0, "d": 0}))
    assert [d.path for d in unknown(found, known)] == ["c", "d"]


@pytest.mark.parametrize(
    "entry", ['scenario = "fetch"', 'reason = ""', 'reason = "so"\nsenario = "fetch"']
)
def test_an_entry_needs_a_reason_and_keys_that_mean_something(tmp_path: Path, entry: str) -> None:
    file = tmp_path / "known.toml"
    file.write_text(f"[[difference]]\n{entry}\n")
    with pytest.raises(ValueError, match=r"known\.toml"):
        load_known(file)


def test_every_known_difference_has_its_reason() -> None:
    assert all(isinstance(entry, Known) and entry.reason for entry in load_known())


def test_ids_get_names_in_order_of_appearance() -> None:
    given = names()
    one, two = Id(bytes([1] * 16)), Id(bytes([2] * 16))
    answer = given.answer("Some", {"topics": [{"topic_id": two}, {"topic_id": one}]})
    assert answer == {"topics": [{"topic_id": "<id 1>"}, {"topic_id": "<id 2>"}]}
    assert given.request("Some", {"topic_id": one}) == {"topic_id": "<id 2>"}
    # What the script made up is no id of the broker.
    made_up = given.request("Some", {"session_id": 77})
    assert made_up == {"session_id": 77} == given.answer("Some", {"session_id": 77})
    assert given.answer("Some", {"session_id": 78}) == {"session_id": "<session_id 1>"}
    assert given.answer("Some", {"session_id": 0}) == {"session_id": 0}


def test_member_ids_keep_what_stands_before_the_uuid() -> None:
    given = names()
    member = "client-01234567-89ab-cdef-0123-456789abcdef"
    answer = given.answer("JoinGroup", {"member_id": member, "leader": member})
    assert answer == {"member_id": "client-<uuid 1>", "leader": "client-<uuid 1>"}


def test_addresses_have_to_be_the_brokers_own() -> None:
    answer = names().answer("Some", {"host": "127.0.0.1", "port": 9092})
    assert answer == {"host": "<host>", "port": "<port>"}
    assert names().answer("Some", {"host": "elsewhere", "port": 1}) == {
        "host": "elsewhere",
        "port": 1,
    }


def test_times_names_and_errors() -> None:
    plain = {"timestamp": START_MS + 5, "at": NOW_MS + 3, "name": f"orders{TOKEN}", "error_code": 3}
    assert names().answer("Some", plain) == {
        "timestamp": "t+5",
        "at": "<now>",
        "name": "orders",
        "error_code": "UNKNOWN_TOPIC_OR_PARTITION",
    }


def test_the_text_of_an_error_is_free_and_of_a_success_is_not() -> None:
    for text in (None, "", "some words"):
        refused = {"error_code": 3, "error_message": text}
        assert names().answer("Some", refused)["error_message"] == "<any text>"
    for text in (None, ""):
        done = {"error_code": 0, "error_message": text}
        assert names().answer("Some", done)["error_message"] is text


def test_lists_without_an_order() -> None:
    topics = [{"error_code": 0, "name": name, "partitions": []} for name in ("b", "a")]
    answer = names().answer("Metadata", {"topics": topics})
    assert [topic["name"] for topic in answer["topics"]] == ["a", "b"]
    configs = [{"name": "b", "value": "1"}, {"name": "a", "value": "2"}]
    described = names().answer("DescribeConfigs", {"results": [{"configs": configs}]})
    assert described["results"][0]["configs"] == {"a": {"value": "2"}, "b": {"value": "1"}}


def test_groups_of_other_runs_are_left_out() -> None:
    groups = [{"group_id": "theirs"}, {"group_id": f"ours{TOKEN}"}]
    assert names().answer("ListGroups", {"groups": groups}) == {"groups": [{"group_id": "ours"}]}


def test_records_are_told_by_header_and_content() -> None:
    def told(value: bytes, **how: Any) -> str:
        batch = build_batch([Record(0, START_MS, b"k", value, ())], **how)
        (line,) = names().answer("Fetch", {"records": batch})["records"]
        return line

    assert told(b"v").startswith("offsets 0-0, epoch -1, 1 records, ")
    assert told(b"v", base_offset=7).startswith("offsets 7-7")
    assert told(b"v") != told(b"w")
    assert "producer <producer_id 1> epoch 2, sequence 3" in told(
        b"v", producer_id=5, producer_epoch=2, base_sequence=3
    )
    batch = bytearray(build_batch([Record(0, START_MS, b"k", b"v", ())]))
    batch[-1] ^= 1
    lines = names().answer("Fetch", {"records": bytes(batch) + bytes(batch)[:20]})["records"]
    assert "WRONG CRC" in lines[0]
    assert lines[1] == "20 bytes of a batch that is cut short"


def test_requests_are_built_from_nested_dicts() -> None:
    request = build_request(
        ApiKey.FETCH,
        {"max_wait_ms": 5, "topics": [{"topic": "t", "partitions": [{"fetch_offset": 3}]}]},
    )
    assert request.topics[0].partitions[0].fetch_offset == 3
    assert as_plain(request)["topics"][0]["partitions"][0]["fetch_offset"] == 3
    with pytest.raises(TypeError, match="fetch_offfset"):
        build_request(ApiKey.FETCH, {"topics": [{"partitions": [{"fetch_offfset": 3}]}]})


def test_versions_that_both_have() -> None:
    both = common(
        [
            {ApiKey.PRODUCE: range(14), ApiKey.FETCH: range(4, 19), ApiKey.END_TXN: range(6)},
            {ApiKey.PRODUCE: range(12), ApiKey.FETCH: range(2, 17)},
        ]
    )
    assert (both[ApiKey.PRODUCE], both[ApiKey.FETCH]) == (range(3, 12), range(4, 17))
    assert not both[ApiKey.END_TXN]
    assert [v for v in range(5) if v in since(3)] == [3, 4]
    assert [v for v in range(5) if v in until(1)] == [0, 1]


def test_scenarios_are_found_and_chosen_by_name_area_or_pattern() -> None:
    scenarios = load_scenarios()
    assert len({scenario.name for scenario in scenarios}) == len(scenarios)
    assert {s.name.partition(".")[0] for s in chosen(scenarios, ["fetch", "topics.created"])} == {
        "fetch",
        "topics",
    }
    assert chosen(scenarios, ["*.created"]) == [s for s in scenarios if s.name == "topics.created"]
    with pytest.raises(LookupError, match="nothing"):
        chosen(scenarios, ["nothing"])
