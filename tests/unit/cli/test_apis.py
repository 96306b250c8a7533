"""tierbroker apis without a broker: the registry of this version."""

import json

import pytest

from tierbroker.broker.registry import SPECS
from tierbroker.cli.main import run


def test_prints_the_registry(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TIERBROKER_BOOTSTRAP", raising=False)
    assert run(["apis", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["key"], row["min_version"], row["max_version"]) for row in rows] == [
        (spec.key, spec.min_version, spec.max_version) for spec in SPECS
    ]
    assert rows[0]["api"] == "Produce"
