"""What the options of dev mean, and what wins over what."""

from collections.abc import Mapping

from tierbroker.cli.broker_flags import dev_flags

NO_DELAY = {"group.initial.rebalance.delay.ms": "0"}


def flags(
    *,
    host: str | None = None,
    port: int | None = None,
    data: str | None = None,
    ephemeral_dir: str | None = None,
    cold: str | None = "file:///c",
    sets: tuple[tuple[str, str], ...] = (),
    env: Mapping[str, str] | None = None,
) -> dict[str, str]:
    chosen = dev_flags(
        host=host,
        port=port,
        data=data,
        ephemeral_dir=ephemeral_dir,
        cold=cold,
        sets=sets,
        env=env or {},
    )
    if cold == "file:///c":
        assert chosen.pop("cold.url") == cold
    return chosen


def test_defaults() -> None:
    listeners = "PLAINTEXT://127.0.0.1:9092"
    assert flags() == {"listeners": listeners, "log.dirs": "./data", **NO_DELAY}


def test_options() -> None:
    assert flags(host="::1", port=0, data="/d") == {
        "listeners": "PLAINTEXT://[::1]:0",
        "log.dirs": "/d",
        **NO_DELAY,
    }


def test_ephemeral_waits_for_no_disk() -> None:
    chosen = flags(ephemeral_dir="/tmp/x")
    assert chosen["log.dirs"] == "/tmp/x"
    assert chosen["flush.mode"] == "none"


def test_set_wins_over_everything() -> None:
    sets = (("flush.mode", "fsync"), ("a", "1"), ("a", "2"))
    chosen = flags(ephemeral_dir="/tmp/x", sets=sets)
    assert chosen["flush.mode"] == "fsync"
    assert chosen["a"] == "2"


def test_the_environment_wins_over_the_defaults_of_dev() -> None:
    env = {"TIERBROKER_LISTENERS": "PLAINTEXT://:1", "TIERBROKER_LOG_DIRS": "/e"}
    assert flags(env=env) == NO_DELAY
    assert flags(env={"TIERBROKER_LOG_DIR": "/e"}) == {
        "listeners": "PLAINTEXT://127.0.0.1:9092",
        **NO_DELAY,
    }
    assert flags(env={**env, "TIERBROKER_GROUP_INITIAL_REBALANCE_DELAY_MS": "5"}) == {}


def test_options_win_over_the_environment() -> None:
    env = {"TIERBROKER_LISTENERS": "PLAINTEXT://:1", "TIERBROKER_LOG_DIRS": "/e"}
    assert flags(port=5, data="/d", env=env) == {
        "listeners": "PLAINTEXT://127.0.0.1:5",
        "log.dirs": "/d",
        **NO_DELAY,
    }


def test_cold_data_is_beside_the_logs_unless_told_otherwise() -> None:
    assert flags(cold=None, data="/d")["cold.url"] == "file:///d-cold"
    assert flags(cold=None, ephemeral_dir="/tmp/x")["cold.url"] == "memory://"
    env = {"TIERBROKER_LOG_DIRS": "/e,/f"}
    assert flags(cold=None, env=env)["cold.url"] == "file:///e-cold"
    assert "cold.url" not in flags(cold=None, env={"TIERBROKER_COLD_URL": "s3://b/p"})
    assert flags(cold="s3://b/p", env=env)["cold.url"] == "s3://b/p"
