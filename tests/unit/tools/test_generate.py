"""The generated files are what the generator writes, and layouts that are equal share code."""

from pathlib import Path

import pytest

from tools.codegen.functions import Functions
from tools.codegen.layout import minimum_size, resolve
from tools.codegen.module import GENERATED, api_module, record_module
from tools.codegen.naming import snake_case
from tools.generate import ROOT, TARGETS, generated_files, main
from tools.schema import TABLE, parse_table

FACTS = parse_table(TABLE.read_text())
SAMPLE = """\
request Sample key=7 versions=0-4 flexible=3+
  Items []Item 0+
    Id int32 0+
    Name string 1+ null=2+ ignorable
response Sample key=7 versions=0-4 flexible=3+
  Items []Item 0+
    Code int16 0+
"""


def test_the_checked_in_files_are_up_to_date_and_say_what_they_are() -> None:
    for path, text in generated_files(ROOT, FACTS).items():
        assert path.read_text() == text, f"run `python -m tools.generate`: {path}"
        assert text.splitlines()[0] == GENERATED


def test_check_reports_a_changed_and_a_stale_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.generate.TARGETS", TARGETS[1:])
    assert main([], root=tmp_path) == 0
    assert main(["--check"], root=tmp_path) == 0
    capsys.readouterr()
    folder = tmp_path / "tierbroker/controller/records"
    (folder / "topic_record.py").write_text("changed")
    (folder / "removed_record.py").write_text(f"{GENERATED}\n")
    (folder / "__init__.py").write_text("by hand")
    assert main(["--check"], root=tmp_path) == 1
    reported = capsys.readouterr().err
    assert "topic_record.py is not what" in reported
    assert "removed_record.py is not what" in reported
    assert "__init__.py" not in reported
    assert main([], root=tmp_path) == 0
    assert not (folder / "removed_record.py").exists()
    assert main(["--check"], root=tmp_path) == 0


def test_versions_with_the_same_layout_share_a_function() -> None:
    message = parse_table(SAMPLE)[0]
    layout = resolve(message, "SampleRequest", renamed={})
    read = Functions(layout, "read")
    names = [read["Item", version] for version in message.versions]
    assert names == [f"_read_Item_{version}" for version in (0, 1, 2, 3, 3)]


def test_structs_of_one_name_in_request_and_response_are_told_apart() -> None:
    source = api_module(*parse_table(SAMPLE))
    assert "class RequestItem:" in source
    assert "class ResponseItem:" in source


@pytest.mark.parametrize(("version", "size"), [(0, 4), (1, 6), (2, 6), (3, 6)])
def test_least_size_of_an_element(version: int, size: int) -> None:
    message = parse_table(SAMPLE)[0]
    assert minimum_size(resolve(message, "S", renamed={}), "Item", version) == size


def test_generated_code_runs() -> None:
    (message,) = parse_table("data Point versions=0 flexible=0+\n  Id int32 0+ default=-1\n")
    names: dict[str, object] = {"__name__": "point"}
    exec(compile(record_module(message), "point.py", "exec"), names)
    point = names["Point"]()  # type: ignore[operator]
    assert names["encode"](point, 0) == b"\xff\xff\xff\xff\0"  # type: ignore[operator]
    assert names["decode"](b"\xff\xff\xff\xff\0", 0, 0) == (point, 5)  # type: ignore[operator]


def test_a_field_name_that_the_functions_use_is_refused() -> None:
    (message,) = parse_table("data Point versions=0 flexible=0+\n  Pos int32 0+\n")
    with pytest.raises(ValueError, match="name is taken"):
        record_module(message)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("TopicId", "topic_id"),
        ("KRaftVersionFeature", "kraft_version_feature"),
        ("Enable2Pc", "enable_2pc"),
        ("V3AndBelowTopics", "v3_and_below_topics"),
        ("From", "from_"),
    ],
)
def test_names(name: str, expected: str) -> None:
    assert snake_case(name) == expected
