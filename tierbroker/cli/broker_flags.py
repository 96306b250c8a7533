"""What the options of `dev` mean as settings of a broker. Pure; nothing is read or made here."""

import os
from collections.abc import Iterable, Mapping

from tierbroker.cli.bootstrap import DEFAULT_PORT, Address

DEFAULT_HOST = "127.0.0.1"
DEFAULT_DATA = "./data"
COLD_SUFFIX = "-cold"
"""The cold tier of `./data` is in `./data-cold`, unless told otherwise.

Not inside: Apache Kafka refuses a log directory that holds other directories than partitions.
"""


def dev_flags(
    *,
    host: str | None,
    port: int | None,
    data: str | None,
    ephemeral_dir: str | None,
    cold: str | None,
    sets: Iterable[tuple[str, str]],
    env: Mapping[str, str],
) -> dict[str, str]:
    """Settings by Kafka's names. Flags beat the environment, which beats the defaults of `dev`."""
    flags: dict[str, str] = {}
    if host is not None or port is not None or "TIERBROKER_LISTENERS" not in env:
        address = Address(host or DEFAULT_HOST, DEFAULT_PORT if port is None else port)
        flags["listeners"] = f"PLAINTEXT://{address}"
    if ephemeral_dir is not None:
        flags["log.dirs"] = ephemeral_dir
        flags["flush.mode"] = "none"
    elif data is not None:
        flags["log.dirs"] = data
    elif not {"TIERBROKER_LOG_DIRS", "TIERBROKER_LOG_DIR"} & env.keys():
        flags["log.dirs"] = DEFAULT_DATA
    if cold is not None:
        flags["cold.url"] = cold
    elif "TIERBROKER_COLD_URL" not in env:
        flags["cold.url"] = _default_cold(flags, env)
    if "TIERBROKER_GROUP_INITIAL_REBALANCE_DELAY_MS" not in env:
        # Whoever develops starts few consumers and waits for the first one.
        flags["group.initial.rebalance.delay.ms"] = "0"
    flags.update(sets)
    return flags


def _default_cold(flags: Mapping[str, str], env: Mapping[str, str]) -> str:
    """A directory beside the logs: tiered topics can be tried without a bucket."""
    if flags.get("flush.mode") == "none":
        return "memory://"
    in_env = env.get("TIERBROKER_LOG_DIRS", env.get("TIERBROKER_LOG_DIR", DEFAULT_DATA))
    data = flags.get("log.dirs", in_env).split(",")[0].strip()
    return f"file://{os.path.abspath(data)}{COLD_SUFFIX}"
