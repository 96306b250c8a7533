"""Runs the main classes of Apache Kafka's jars, which `make integration` fetches.

No shell script of the distribution takes part: a tool is a class, its arguments and its input.
Tools share a JVM that stays; brokers have their own, by `java_command`.
"""

import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from integration.tool_server import ToolServers, ToolTimeoutError

HERE = Path(__file__).parent
JARS = HERE / ".jars"
TOOLS = "org.apache.kafka.tools"


class JavaToolError(AssertionError):
    """A tool ended with another exit code than 0; the message holds all that it said."""


class JavaToolLateError(JavaToolError):
    """A tool was not at its end in time."""


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

    @property
    def errors(self) -> str:
        return self.stderr.decode(errors="replace")

    def table(self) -> list[dict[str, str]]:
        """The rows below each line of capital headings, by heading.

        Cells are parted by white space, except for what stands in round brackets.
        """
        rows: list[dict[str, str]] = []
        heading: list[str] = []
        for line in self.lines:
            cells = re.sub(r"\s+(?=\()", "", line).split()
            if len(cells) > 1 and all(cell == cell.upper() for cell in cells) and "GROUP" in cells:
                heading = cells
            elif heading and cells:
                rows.append(dict(zip(heading, cells, strict=True)))
        return rows


def java_command(main_class: str, *args: str, heap_mb: int = 256, log: str = "error") -> list[str]:
    """The command line of `main_class`, set up to start fast on a small machine.

    Raises AssertionError when the jars are not there.
    """
    return _command(f"{JARS}/*", main_class, *args, heap_mb=heap_mb, log=log)


def run_java(main_class: str, *args: str, stdin: bytes = b"", timeout_s: float = 150) -> Output:
    """Run a tool to its end.

    Raises JavaToolError when it fails, JavaToolLateError when it takes longer than `timeout_s`.
    """
    name = main_class.rsplit(".", 1)[-1]
    try:
        ended = _servers().run(main_class, args, stdin, timeout_s)
    except ToolTimeoutError as late:
        raise JavaToolLateError(f"{name} {' '.join(args)} {late}") from None
    if ended.exit_code != 0:
        raise JavaToolError(
            f"{name} {' '.join(args)} ended with {ended.exit_code}\n"
            f"{ended.stdout[-4000:].decode(errors='replace')}\n"
            f"{ended.stderr[-4000:].decode(errors='replace')}"
        )
    return Output(ended.stdout, ended.stderr)


def run_tool(name: str, *args: str, stdin: bytes = b"", timeout_s: float = 150) -> Output:
    """Run a class of Kafka's tools package: `run_tool("TopicCommand", "--list", ...)`."""
    return run_java(f"{TOOLS}.{name}", *args, stdin=stdin, timeout_s=timeout_s)


def run_apart(name: str, *args: str, timeout_s: float = 150) -> Output:
    """Like `run_tool` in a JVM of the tool's own, for tools whose last words come at its end."""
    command = java_command(f"{TOOLS}.{name}", *args)
    done = subprocess.run(command, capture_output=True, timeout=timeout_s, check=False)
    if done.returncode != 0:
        raise JavaToolError(f"{name} {' '.join(args)} ended with {done.returncode}\n{done}")
    return Output(done.stdout, done.stderr)


@cache
def _servers() -> ToolServers:
    """The tools' own jar is the one that is loaded anew for each run."""
    jars = sorted(JARS.glob("*.jar"))
    tools = [str(jar) for jar in jars if jar.name.startswith("kafka-tools-4")]
    rest = ":".join(str(jar) for jar in jars if str(jar) not in tools)
    source = str(HERE / "java" / "ToolServer.java")
    return ToolServers(_command(rest, source, *tools, heap_mb=512))


def _command(class_path: str, main: str, *args: str, heap_mb: int, log: str = "error") -> list[str]:
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
        class_path,
        main,
        *args,
    ]
