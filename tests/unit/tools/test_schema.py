"""The text format of the table of facts: what it says, what it refuses, and that it is stable."""

import pytest

from tools.facts import HEADER, message_of
from tools.schema import (
    NO_VERSIONS,
    TABLE,
    FactsError,
    Versions,
    format_table,
    parse_table,
)

SAMPLE = """\
source made-up 1.0
request Sample key=7 versions=0-3 flexible=2+ listeners=broker,controller unstable
  Name string 0+ null=1+ default=null ignorable
  Items []Item 0+
    Id int32 0+ default=-1
  Extra Pair 2+ tag=0@2+
  struct Pair 2+
    Left int64 2+
"""


@pytest.mark.parametrize("text", ["none", "3", "3-7", "3+", "0+"])
def test_version_ranges(text: str) -> None:
    assert str(Versions.parse(text)) == text


def test_membership_of_ranges() -> None:
    assert [v for v in range(10) if v in Versions.parse("3-7")] == [3, 4, 5, 6, 7]
    assert 10_000 in Versions.parse("3+")
    assert 0 not in NO_VERSIONS
    assert list(Versions.parse("2-4")) == [2, 3, 4]


def test_parse_and_format_are_inverse() -> None:
    (message,) = parse_table(SAMPLE)
    assert format_table([message]) == SAMPLE
    assert message.key == 7
    assert message.unstable
    assert message.listeners == ("broker", "controller")
    name, items, extra = message.fields
    assert (name.default, name.ignorable, name.nullable.first) == ("null", True, 1)
    assert items.is_array
    assert items.fields[0].default == "-1"
    assert (extra.tag, extra.is_struct) == (0, True)
    assert message.structs[0].fields[0].name == "Left"


def test_the_table_is_in_the_form_that_the_reader_writes() -> None:
    text = TABLE.read_text()
    assert format_table(parse_table(text), HEADER) == text


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("  Name string 0+\n", "line 1: a field outside"),
        ("reply A versions=0 flexible=none\n", "line 1: unknown kind"),
        ("request A versions=0 flexible=none colour=red\n", "line 1: unknown option 'colour'"),
        ("# x\nrequest A versions=0 flexible=none\n  B string 0+ size=3\n", "option 'size'"),
        ("request A versions=x flexible=none\n", "line 1"),
    ],
)
def test_a_malformed_table_names_the_line(text: str, match: str) -> None:
    with pytest.raises(FactsError, match=match):
        parse_table(text)


def test_facts_of_a_descriptor_leave_its_prose_behind() -> None:
    message = message_of(
        {
            "type": "response",
            "name": "SampleResponse",
            "apiKey": 7,
            "validVersions": "0-1",
            "flexibleVersions": "none",
            "fields": [
                {"name": "Code", "type": "int16", "versions": "0+", "about": "A long story."},
                {"name": "Limit", "type": "int32", "versions": "1+", "default": "0x7fffffff"},
                {"name": "Text", "type": "string", "versions": "0+", "ignorable": "true"},
            ],
        },
        "made-up 1.0",
    )
    assert format_table([message]).splitlines() == [
        "source made-up 1.0",
        "response Sample key=7 versions=0-1 flexible=none",
        "  Code int16 0+",
        "  Limit int32 1+ default=2147483647",
        "  Text string 0+ ignorable",
    ]
