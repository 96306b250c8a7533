"""The handler of ApiVersions: the registry as it is, features by version, software by name."""

import pathlib

import pytest

from tests.handler_bench import HandlerBench
from tierbroker.broker.handlers import api_versions
from tierbroker.broker.registry import SPECS
from tierbroker.wire.api_keys import ApiKey
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.api_versions import ApiVersionsRequest

NAMED = ApiVersionsRequest(client_software_name="librdkafka", client_software_version="2.15.0")


@pytest.mark.parametrize("version", range(5))
def test_the_registry_is_advertised(tmp_path: pathlib.Path, version: int) -> None:
    answer = api_versions.handle(NAMED, HandlerBench(tmp_path).context(version))
    assert answer.error_code == ErrorCode.NONE
    found = [(entry.api_key, entry.min_version, entry.max_version) for entry in answer.api_keys]
    assert found == [(spec.key, spec.min_version, spec.max_version) for spec in SPECS]


def test_features_from_0_only_since_version_4(tmp_path: pathlib.Path) -> None:
    """KAFKA-17011: older clients refuse a lowest level of 0."""
    bench = HandlerBench(tmp_path)
    old = api_versions.handle(NAMED, bench.context(3)).supported_features
    new = api_versions.handle(NAMED, bench.context(4)).supported_features
    assert all(feature.min_version > 0 for feature in old)
    assert {feature.name for feature in old} <= {feature.name for feature in new}


def test_the_client_is_remembered(tmp_path: pathlib.Path) -> None:
    context = HandlerBench(tmp_path).context(3)
    api_versions.handle(NAMED, context)
    assert context.session.client_software_name == "librdkafka"
    assert context.session.client_software_version == "2.15.0"


def test_a_strange_name_is_refused_and_not_remembered(tmp_path: pathlib.Path) -> None:
    context = HandlerBench(tmp_path).context(3)
    strange = ApiVersionsRequest(client_software_name="a b", client_software_version="1")
    assert api_versions.handle(strange, context).error_code == ErrorCode.INVALID_REQUEST
    assert context.session.client_software_name == "unknown"


def test_an_unsupported_version_names_one_api() -> None:
    answer = api_versions.unsupported_version()
    assert answer.error_code == ErrorCode.UNSUPPORTED_VERSION
    assert [entry.api_key for entry in answer.api_keys] == [ApiKey.API_VERSIONS]
