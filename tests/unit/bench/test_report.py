import pytest
from rich.console import Console

from bench import report
from bench.row import FLOOR, Bound, Figure, Result

CPU = Figure("CPU per GiB", "CPU-s/GiB", ratio=Bound(0.25))
START = Figure("start", "s", budget=Bound(0.35))
RESULTS = [
    Result("1", "produce", "Kafka", CPU, (10.0, 12.0, 11.0)),
    Result("1", "produce", "ours", CPU, (2.0, 3.6, 2.2)),
    Result("1", "produce", FLOOR, CPU, (1.0, 1.0, 1.0)),
    Result("6", "start", "Kafka", START, (2.5,)),
    Result("6", "start", "ours", START, (0.4,)),
]


def _lines() -> list[report.Line]:
    return list(report.lines(RESULTS, "ours", "Kafka"))


def test_a_line_has_all_that_was_measured_of_a_figure_side_by_side() -> None:
    cpu, start = _lines()
    assert cpu.ratio == pytest.approx((0.2, 0.3, 0.2))
    assert cpu.floor is not None
    assert cpu.met is True
    assert start.floor is None
    assert start.met is False


def test_without_the_other_side_there_is_no_ratio_and_no_verdict_by_ratio() -> None:
    cpu, start = report.lines(RESULTS, "ours", None)
    assert cpu.ratio == ()
    assert cpu.met is None
    assert start.met is False


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0.0, "0"), (0.03456, "0.035"), (0.9994, "0.999"), (0.9996, "1.00"), (3.456, "3.46")),
        *((9.996, "10.0"), (34.56, "34.6"), (99.96, "100"), (345.6, "346"), (999.6, "1,000")),
        *((12345.6, "12,346"), (-2.0, "-2.00")),
    ],
)
def test_numbers_have_the_digits_that_matter(value: float, text: str) -> None:
    assert report.number(value) == text


def test_a_spread_is_told_where_there_is_one() -> None:
    assert report.with_spread((3.0, 1.0, 2.0)) == "2.00 [1.00–3.00]"
    assert report.with_spread((2.0,)) == "2.00"
    assert report.with_spread(()) == "–"


def test_budgets_name_their_kind() -> None:
    assert report.budget_text(CPU) == "≤ 0.25×"
    assert report.budget_text(START) == "≤ 0.35"
    both = Figure("rate", "MiB/s", Bound(5, at_least=True), Bound(3, at_least=True))
    assert report.budget_text(both) == "≥ 5, ≥ 3×"
    assert report.budget_text(Figure("rate", "MiB/s")) == ""


def test_markdown() -> None:
    assert report.as_markdown(_lines(), "ours", "Kafka").splitlines() == [
        "|  | figure | floor | Kafka | ours | ratio | budget |",
        "| --- | --- | --: | --: | --: | --: | --: |",
        "| 1 | produce: CPU per GiB, CPU-s/GiB | 1.00 | 11.0 [10.0–12.0] | 2.20 [2.00–3.60] "
        "| 0.200 [0.200–0.300] | ≤ 0.25× |",
        "| 6 | start: start, s |  | 2.50 | 0.400 | 0.160 | **≤ 0.35, missed** |",
    ]


def test_markdown_of_one_side_alone() -> None:
    alone = list(report.lines(RESULTS, "ours", None))
    assert report.as_markdown(alone, "ours", None).splitlines()[:3] == [
        "|  | figure | floor | ours | budget |",
        "| --- | --- | --: | --: | --: |",
        "| 1 | produce: CPU per GiB, CPU-s/GiB | 1.00 | 2.20 [2.00–3.60] | ≤ 0.25× |",
    ]


def test_the_table_for_people_shows_brackets() -> None:
    console = Console(width=150)
    with console.capture() as capture:
        console.print(report.as_table(_lines(), "ours", "Kafka"))
    text = capture.get()
    assert "median [smallest–largest]" in text
    assert "0.200 [0.200–0.300]" in text


def test_a_kept_run_reads_back_as_it_was() -> None:
    told = {"date": "today"}
    run = report.from_json(report.as_json(RESULTS, told, "ours", "Kafka"))
    assert run == report.Run(told, "ours", "Kafka", RESULTS)


def test_text_goes_between_the_marks_of_a_page() -> None:
    page = "before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n"
    new = report.between_marks(page, "bench", "| new |")
    assert new == "before\n<!-- bench -->\n| new |\n<!-- /bench -->\nafter\n"
    assert report.between_marks(new, "bench", "| new |") == new


@pytest.mark.parametrize("page", ["", "<!-- bench -->", "<!-- /bench --><!-- bench -->"])
def test_a_page_without_marks_is_left_alone(page: str) -> None:
    with pytest.raises(ValueError, match="bench"):
        report.between_marks(page, "bench", "text")
