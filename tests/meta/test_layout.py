"""A thing is found by its name: packages hold what the architecture says, tests mirror modules."""

from pathlib import Path

PACKAGES = {
    *("base", "serde", "records", "wire", "hot", "cold", "controller", "replication", "groups"),
    *("transactions", "security", "broker", "server", "node", "cli"),
    *("testing", "archive", "console", "proxy"),
}
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "shared", "tools", "lib"}


def test_the_package_holds_the_rooms_of_the_house_and_nothing_else(root: Path) -> None:
    rooms = {path.parent.name for path in (root / "tierbroker").glob("*/__init__.py")}
    assert rooms <= PACKAGES, (
        f"new top-level packages {sorted(rooms - PACKAGES)}: name them in docs/architecture.md, "
        "in the import rule of pyproject.toml and here, or put the modules where they belong"
    )


def test_every_folder_with_python_files_is_a_package(python_files: list[Path], root: Path) -> None:
    folders = {path.parent for path in python_files if path.is_relative_to(root / "tierbroker")}
    bare = [folder for folder in folders if not (folder / "__init__.py").exists()]
    assert not bare, f"folders without __init__.py are not packaged: {bare}"


def test_no_module_has_a_name_that_says_nothing(python_files: list[Path], root: Path) -> None:
    vague = [
        str(path.relative_to(root))
        for path in python_files
        if VAGUE_NAMES & {path.stem, path.parent.name} and path.is_relative_to(root / "tierbroker")
    ]
    assert not vague, f"name these by what they hold: {vague}"


def test_unit_tests_mirror_the_packages(root: Path) -> None:
    homeless = []
    for test in sorted((root / "tests" / "unit").rglob("test_*.py")):
        place = test.parent.relative_to(root / "tests" / "unit")
        beside = place.parts[:1] in (("tools",), ("bench",))
        folder = root / place if beside else root / "tierbroker" / place
        subject = test.stem.removeprefix("test_")
        module, package = folder / f"{subject}.py", folder / subject / "__init__.py"
        dunder = folder / f"__{subject}__.py"
        if not (module.exists() or package.exists() or dunder.exists()):
            homeless.append(f"{test.relative_to(root)} (no {module.relative_to(root)})")
    assert not homeless, f"unit tests without the module they are named after: {homeless}"


def test_tests_have_no_packages(root: Path) -> None:
    """Base names of test files repeat in different folders: that needs folders, not packages."""
    found = [str(path.relative_to(root)) for path in (root / "tests").rglob("__init__.py")]
    assert not found, f"remove {found}"
