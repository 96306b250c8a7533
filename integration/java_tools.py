"""Runs the main classes of Apache Kafka's jars, which `make integration` fetches.

No shell script of the distribution takes part: a tool is a class, its arguments and its input.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
JARS = HERE / ".jars"
TOOLS = "org.apache.kafka.tools"


class JavaToolError(AssertionError):
    """A tool ended with another exit code than 0; the message holds all that it said."""


@dataclass(frozen=True, slots=True)
class Output:
    """What a tool wrote, as bytes: records need not be text."""

    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        return self.stdout.decode(errors="replace")

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


def java_command(main_class: str, *args: str, heap_mb: int = 256, log: str = "error") -> list[str]:
    """The command line of `main_class`, set up to start fast on a small machine.

    Raises AssertionError when the jars are not there.
    """
    assert JARS.is_dir(), f"{JARS} is missing: run `make integration`, which fetches the jars"
    return [
        "java",
        f"-Xmx{heap_mb}m",
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-Xshare:auto",
        "-Dfile.encoding=UTF-8",
        f"-Dlog4j2.configurationFile={HERE / 'java' / 'log4j2.properties'}",
        f"-Dintegration.log.level={log}",
        "-cp",
        f"{JARS}/*",
        main_class,
        *args,
    ]


def run_java(
    main_class: str,
    *args: str,
    stdin: bytes = b"",
    timeout_s: float = 90,
    heap_mb: int = 256,
) -> Output:
    """Run a tool to its end. JavaToolError when it fails or takes longer than `timeout_s`."""
    command = java_command(main_class, *args, heap_mb=heap_mb)
    name = main_class.rsplit(".", 1)[-1]
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as late:
        raise JavaToolError(
            f"{name} {' '.join(args)} did not end within {timeout_s} s\n"
            f"{(late.stdout or b'')[-4000:]!r}\n{(late.stderr or b'')[-4000:]!r}"
        ) from None
    if done.returncode != 0:
        raise JavaToolError(
            f"{name} {' '.join(args)} ended with {done.returncode}\n"
            f"{done.stdout[-4000:].decode(errors='replace')}\n"
            f"{done.stderr[-4000:].decode(errors='replace')}"
        )
    return Output(done.stdout, done.stderr)


def run_tool(name: str, *args: str, stdin: bytes = b"", timeout_s: float = 90) -> Output:
    """Run a class of Kafka's tools package: `run_tool("TopicCommand", "--list", ...)`."""
    return run_java(f"{TOOLS}.{name}", *args, stdin=stdin, timeout_s=timeout_s)
