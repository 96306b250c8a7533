"""Settings: one precedence, and an error that a person can act on."""

import pathlib

import pytest

from tierbroker.base.errors import InvalidConfigError
from tierbroker.node.settings import Settings

KEY = "log.segment.bytes"


def toml(folder: pathlib.Path, text: str) -> str:
    path = folder / "broker.toml"
    path.write_text(text)
    return str(path)


def test_defaults_are_kafkas() -> None:
    settings = Settings.load({})
    assert settings.values[KEY] == 1 << 30
    assert settings.values["num.partitions"] == 1
    assert settings.texts == {}


def test_flag_before_environment_before_file(tmp_path: pathlib.Path) -> None:
    path = toml(tmp_path, 'log.segment.bytes = 3000001\nnum.partitions = 3\n"node.id" = 3')
    env = {"TIERBROKER_LOG_SEGMENT_BYTES": "2000001", "TIERBROKER_NUM_PARTITIONS": "2"}
    values = Settings.load({KEY: "1048577"}, env, path).values
    assert (values[KEY], values["num.partitions"], values["node.id"]) == (1_048_577, 2, 3)


@pytest.mark.parametrize(
    "text",
    [
        "log.segment.bytes = 2000000",
        '"log.segment.bytes" = 2000000',
        "[log]\nsegment.bytes = 2000000",
        "[log.segment]\nbytes = '2000000'",
    ],
)
def test_a_file_may_nest_its_keys(tmp_path: pathlib.Path, text: str) -> None:
    assert Settings.load({}, None, toml(tmp_path, text)).values[KEY] == 2_000_000


def test_lists_and_flags_of_a_file(tmp_path: pathlib.Path) -> None:
    path = toml(tmp_path, 'log.dirs = ["/a", "/b"]\nauto.create.topics.enable = false')
    values = Settings.load({}, None, path).values
    assert values["log.dirs"] == ("/a", "/b")
    assert values["auto.create.topics.enable"] is False


def test_variables_of_the_command_line_are_no_settings() -> None:
    env = {"TIERBROKER_BOOTSTRAP": "x:1", "HOME": "/root"}
    assert Settings.load({}, env).texts == {}


def test_an_unknown_key_names_the_near_one() -> None:
    with pytest.raises(InvalidConfigError, match=r"log\.segment\.bytes"):
        Settings.load({"log.segment.byte": "1"})
    with pytest.raises(InvalidConfigError, match=r"num\.partitions"):
        Settings.load({}, {"TIERBROKER_NUM_PARTITION": "1"})


@pytest.mark.parametrize(
    ("key", "value"), [(KEY, "much"), ("num.partitions", "0"), ("flush.mode", "sometimes")]
)
def test_a_bad_value_names_its_key(key: str, value: str) -> None:
    with pytest.raises(InvalidConfigError, match=key):
        Settings.load({key: value})


def test_a_file_that_cannot_be_read_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InvalidConfigError, match="nowhere"):
        Settings.load({}, None, str(tmp_path / "nowhere"))
    with pytest.raises(InvalidConfigError, match="not TOML"):
        Settings.load({}, None, toml(tmp_path, "= nothing"))


def test_what_was_set_explains_values() -> None:
    (layer,) = Settings.load({KEY: "2000000"}).layers
    assert layer.texts == {KEY: "2000000"}


@pytest.mark.parametrize(
    ("flags", "env", "source"),
    [
        ({"log.retentin.ms": "3"}, {}, "in the command line"),
        ({}, {"TIERBROKER_LOG_RETENTIN_MS": "3"}, "in the environment (TIERBROKER_...)"),
    ],
)
def test_a_bad_setting_says_where_it_was_found(
    flags: dict[str, str], env: dict[str, str], source: str
) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        Settings.load(flags, env)
    assert caught.value.message.endswith(source)


def test_a_bad_setting_of_the_file_names_the_file(tmp_path: pathlib.Path) -> None:
    path = toml(tmp_path, '"log.retentin.ms" = 3')
    with pytest.raises(InvalidConfigError, match=r"in the settings file .*broker\.toml"):
        Settings.load({}, {}, path)
