"""tierbroker version."""

import json
from importlib import metadata

import pytest

import tierbroker
from tierbroker.cli.main import run


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version"]) == 0
    assert capsys.readouterr().out.startswith(f"tierbroker {tierbroker.__version__} ")


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tierbroker"] == tierbroker.__version__


def test_it_is_the_installed_one() -> None:
    assert tierbroker.__version__ == metadata.version("tierbroker")


def test_the_package_has_no_other_lazy_names() -> None:
    with pytest.raises(AttributeError, match="no attribute 'brocker'"):
        getattr(tierbroker, "brocker")  # noqa: B009
