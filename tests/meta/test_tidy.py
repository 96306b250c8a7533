"""The rules of style that no linter has. Every message says what to do."""

import ast
import re
from pathlib import Path

import pytest

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|NotImplemented" r"Error)\b")
NAMELESS = re.compile(r"#\s*noqa(?!:\s*[A-Z]+\d+)|#\s*type:\s*ignore(?!\[[a-z\-, ]+\])", re.I)


@pytest.fixture(scope="module")
def written_files(python_files: list[Path], root: Path) -> list[Path]:
    """Product code, generators, benchmarks and integration tests; unit tests may be long."""
    return [path for path in python_files if not path.is_relative_to(root / "tests")]


def _functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_files_are_short_enough_to_read(written_files: list[Path], root: Path) -> None:
    long = {
        str(path.relative_to(root)): lines
        for path in written_files
        if (lines := path.read_text().count("\n")) > FILE_LINES_MAX
    }
    assert not long, f"over {FILE_LINES_MAX} lines, split each by noun into two modules: {long}"


def test_functions_fit_on_a_screen(written_files: list[Path], root: Path) -> None:
    long = [
        f"{path.relative_to(root)}:{node.lineno} {node.name} has {length} lines"
        for path in written_files
        for node in _functions(ast.parse(path.read_text(), str(path)))
        if (length := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]
    assert not long, (
        f"over {FUNCTION_LINES_MAX} lines; keep the branching, move the work into functions that "
        f"name one step each: {long}"
    )


def test_modules_say_what_they_are_for(written_files: list[Path], root: Path) -> None:
    silent = [
        str(path.relative_to(root))
        for path in written_files
        if (text := path.read_text()).strip() and not ast.get_docstring(ast.parse(text, str(path)))
    ]
    assert not silent, (
        f"start each with a docstring: what the module is for, what it must never do: {silent}"
    )


def test_nothing_is_left_unfinished(python_files: list[Path], root: Path) -> None:
    found = [
        f"{path.relative_to(root)}:{number}: {line.strip()}"
        for path in python_files
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert not found, f"finish these, or describe the gap in the documentation: {found}"


def test_suppressions_name_their_rule(python_files: list[Path], root: Path) -> None:
    found = [
        f"{path.relative_to(root)}:{number}: {line.strip()}"
        for path in python_files
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if NAMELESS.search(line)
    ]
    assert not found, f"say which rule is suppressed, like `# noqa: S101 - why`: {found}"
