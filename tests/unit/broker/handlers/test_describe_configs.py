"""The handler of DescribeConfigs: every key with its source, and no secrets."""

import pathlib
from typing import Any

import pytest

from tests.handler_bench import HandlerBench
from tierbroker.base.config import Scope
from tierbroker.base.errors import CloseConnection
from tierbroker.broker.handlers import describe_configs
from tierbroker.node.settings import SCHEMA
from tierbroker.wire.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
)

TOPIC, BROKER = 2, 4
OF_TOPIC, STATIC, DEFAULT = 1, 4, 5


def ask(bench: HandlerBench, kind: int, name: str, keys: Any = None, **how: Any) -> Any:
    resource = DescribeConfigsResource(
        resource_type=kind, resource_name=name, configuration_keys=keys
    )
    request = DescribeConfigsRequest(resources=[resource], **how)
    (result,) = describe_configs.handle(request, bench.context(4)).results
    assert result.error_code == 0, result.error_message
    return {config.name: config for config in result.configs}


def test_a_topic_is_described_whole(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path, log_segment_bytes="2000000")
    bench.add_topic("t", retention_ms="5")
    found = ask(bench, TOPIC, "t", include_synonyms=True, include_documentation=True)
    every = {key.name for key in SCHEMA.keys(Scope.TOPIC)}
    assert found.keys() == every - {"internal.segment.bytes"}
    own, inherited, default = (
        found["retention.ms"],
        found["segment.bytes"],
        found["cleanup.policy"],
    )
    assert (own.value, own.config_source) == ("5", OF_TOPIC)
    assert (inherited.value, inherited.config_source) == ("2000000", STATIC)
    assert (default.value, default.config_source) == ("delete", DEFAULT)
    assert [synonym.name for synonym in own.synonyms][:2] == ["retention.ms", "log.retention.hours"]
    assert inherited.synonyms[0].name == "log.segment.bytes"
    assert all(config.config_type > 0 for config in found.values())
    assert all(config.documentation for config in found.values())


def test_a_broker_is_described_whole_and_read_only(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path, num_partitions="3")
    found = ask(bench, BROKER, "1")
    assert found.keys() == {key.name for key in SCHEMA.keys(Scope.BROKER)}
    assert (found["num.partitions"].value, found["num.partitions"].config_source) == ("3", STATIC)
    assert all(config.read_only for config in found.values())
    assert all(config.documentation is None for config in found.values())
    assert all(config.synonyms == [] for config in found.values())


def test_only_what_is_asked_for(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path)
    bench.add_topic("t")
    assert ask(bench, TOPIC, "t", ["retention.ms", "no.such"]).keys() == {"retention.ms"}


def test_the_clusters_default_is_what_was_set_for_it(tmp_path: pathlib.Path) -> None:
    assert ask(HandlerBench(tmp_path), BROKER, "") == {}


def test_many_resources_take_turns_with_others(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path)
    names = [f"t{number}" for number in range(100)]
    for name in names:
        bench.add_topic(name)
    few = [DescribeConfigsResource(TOPIC, name, ["retention.ms"]) for name in names]
    answering = describe_configs.handle(DescribeConfigsRequest(few), bench.context(4))
    assert bench.count_turns(answering) >= 10, "all are looked at, though few are told"
    resources = [DescribeConfigsResource(TOPIC, name, None) for name in names]
    answering = describe_configs.handle(DescribeConfigsRequest(resources), bench.context(4))
    assert bench.count_turns(answering) >= 10
    results = bench.answered(answering).results
    assert [result.resource_name for result in results] == names
    for result in results:
        described = {config.name: config for config in result.configs}
        assert described == ask(bench, TOPIC, result.resource_name)


def test_a_resource_is_described_once_for_each_wish(tmp_path: pathlib.Path) -> None:
    """What is told of it takes a thousand times the room of its name."""
    bench = HandlerBench(tmp_path)
    bench.add_topic("t")
    wishes: list[list[str] | None] = [None, ["retention.ms"], ["retention.ms"], None]
    resources = [DescribeConfigsResource(TOPIC, "t", wish) for wish in wishes]
    answering = describe_configs.handle(DescribeConfigsRequest(resources), bench.context(4))
    whole, one, one_again, whole_again = bench.answered(answering).results
    assert [config.name for config in one.configs] == ["retention.ms"]
    assert len(whole.configs) > 10
    assert one_again is one
    assert whole_again is whole


def test_a_topic_named_often_does_not_fill_the_memory(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = HandlerBench(tmp_path)
    bench.add_topic("t")
    monkeypatch.setattr(describe_configs, "_SETTINGS_MAX", 10)
    resource = DescribeConfigsResource(TOPIC, "t", ["retention.ms"])
    request = DescribeConfigsRequest([resource] * 10)
    assert len(bench.answered(describe_configs.handle(request, bench.context(4))).results) == 10
    request = DescribeConfigsRequest([resource] * 11)
    with pytest.raises(CloseConnection, match="more than 10 settings"):
        bench.answered(describe_configs.handle(request, bench.context(4)))
