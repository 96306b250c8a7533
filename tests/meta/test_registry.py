"""One list says which APIs are answered; every handler, header and codec agrees with it."""

import ast
import importlib
import re
from pathlib import Path

import pytest

from tierbroker.broker.api import ApiSpec
from tierbroker.broker.registry import SPECS
from tierbroker.wire.messages.index import APIS

HANDLERS = Path("tierbroker/broker/handlers")


def test_keys_are_unique_and_in_order() -> None:
    keys = [int(spec.key) for spec in SPECS]
    assert keys == sorted(set(keys))


def test_every_handler_file_is_registered_and_the_other_way_round(root: Path) -> None:
    modules = {path.stem for path in (root / HANDLERS).glob("*.py")} - {"__init__"}
    modules |= {path.parent.name for path in (root / HANDLERS).glob("*/__init__.py")}
    assert modules == {spec.module for spec in SPECS}


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.module)
def test_a_handler_opens_with_its_key_and_versions(root: Path, spec: ApiSpec) -> None:
    source = root / HANDLERS / f"{spec.module}.py"
    header = ast.get_docstring(ast.parse(source.read_text(), str(source))) or ""
    first = header.partition("\n")[0]
    api = APIS[int(spec.key)]
    assert first.startswith(f"{api.name} (key {int(spec.key)}), "), first
    numbers = [int(number) for number in re.findall(r"\d+", first.partition("),")[2])]
    ends = sorted({spec.min_version, spec.max_version})
    assert numbers[: len(ends)] == ends, f"the header says {first!r}, the registry {ends}"


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.module)
def test_a_handler_has_its_function_and_a_codec_for_each_version(spec: ApiSpec) -> None:
    handler = importlib.import_module(f"tierbroker.broker.handlers.{spec.module}")
    assert callable(handler.handle)
    api = APIS[int(spec.key)]
    assert spec.max_version <= api.last_version
    # Produce is advertised from 0 and refused below 3: librdkafka stops compressing otherwise.
    assert spec.min_version >= api.first_version or api.name == "Produce"
