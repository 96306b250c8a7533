"""`tierbroker dev` and `serve` as processes: ready file, banner, restart, errors."""

import contextlib
import json
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

TIERBROKER = [sys.executable, "-m", "tierbroker"]
DEADLINE_S = 30
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if not name.startswith("TIERBROKER_")
}


class Running:
    """A broker process that has said that it is ready."""

    def __init__(self, process: "subprocess.Popen[str]", ready_file: pathlib.Path) -> None:
        self.process = process
        deadline = time.monotonic() + DEADLINE_S
        while not ready_file.exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "no ready file"
            time.sleep(0.01)
        self.ready: dict[str, Any] = json.loads(ready_file.read_text())

    @property
    def bootstrap(self) -> str:
        return str(self.ready["bootstrap"])

    def cli(self, *arguments: str) -> str:
        return subprocess.run(
            [*TIERBROKER, *arguments, "-b", self.bootstrap],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=True,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
        ).stdout

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, out, err


@contextlib.contextmanager
def broker(
    folder: pathlib.Path, *arguments: str, command: str = "dev", **env: str
) -> Iterator[Running]:
    ready_file = folder / "ready.json"
    process = subprocess.Popen(
        [*TIERBROKER, command, *arguments, "--ready-file", str(ready_file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**ENVIRONMENT, "PYTHONPATH": os.getcwd(), **env},
    )
    try:
        yield Running(process, ready_file)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ready_file_says_where_who_and_when(tmp_path: pathlib.Path, number: int) -> None:
    with broker(tmp_path, "--port", "0", "--ephemeral") as running:
        assert running.ready.keys() == {"bootstrap", "pid", "ready_ms"}
        assert running.ready["pid"] == running.process.pid
        assert running.ready["ready_ms"] >= 0
        host, port = running.bootstrap.rsplit(":", 1)
        socket.create_connection((host, int(port)), 5).close()
        code, _, err = running.stop(number)
    assert code == 0
    assert err == ""


def test_a_ready_file_of_an_earlier_run_is_not_taken_for_ours(tmp_path: pathlib.Path) -> None:
    (tmp_path / "ready.json").write_text("old")
    ready_file = tmp_path / "ready.json"
    started = time.time()
    process = subprocess.Popen(
        [*TIERBROKER, "dev", "--port", "0", "--ephemeral", "--ready-file", str(ready_file)],
        stdout=subprocess.DEVNULL,
    )
    try:
        while not ready_file.exists() or ready_file.read_text() == "old":
            assert time.time() - started < DEADLINE_S
            time.sleep(0.01)
        assert json.loads(ready_file.read_text())["pid"] == process.pid
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def test_the_banner_can_be_pasted(tmp_path: pathlib.Path) -> None:
    with broker(tmp_path, "--port", "0", "--data", "here") as running:
        banner = _banner(running)
        assert str(tmp_path / "here") in banner
        assert "fsync" in banner
        commands = [line.strip() for line in banner.splitlines() if " produce " in line]
        commands += [line.strip() for line in banner.splitlines() if " consume " in line]
        outputs = [
            subprocess.run(
                shlex.split(command),
                capture_output=True,
                text=True,
                check=True,
                timeout=DEADLINE_S,
                cwd=tmp_path,
                env={**ENVIRONMENT, "PYTHONPATH": os.getcwd()},
            ).stdout
            for command in commands
        ]
        assert outputs[1] == "first message\n"
        snippet = "\n".join(line.strip() for line in banner.splitlines()[-3:])
        subprocess.run([sys.executable, "-c", snippet], check=True, timeout=DEADLINE_S)
        read = running.cli("consume", "hello", "--from", "start", "--exit")
        assert read == "first message\nfrom Python\n"


def _banner(running: Running) -> str:
    assert running.process.stdout is not None
    lines = []
    while True:
        line = running.process.stdout.readline()
        assert line, "the broker ended"
        lines.append(line)
        if "producer.send" in line:
            return "".join(lines)


def test_data_is_there_after_a_restart(tmp_path: pathlib.Path) -> None:
    arguments = ("--port", "0", "--data", str(tmp_path / "data"))
    with broker(tmp_path, *arguments) as running:
        running.cli("produce", "kept", "one", "two")
        assert running.stop()[0] == 0
    (tmp_path / "ready.json").unlink()
    with broker(tmp_path, *arguments) as running:
        assert running.cli("consume", "kept", "--from", "start", "--exit") == "one\ntwo\n"
        running.cli("produce", "kept", "three")
        running.process.kill()
    (tmp_path / "ready.json").unlink()
    with broker(tmp_path, *arguments) as running:
        assert running.cli("consume", "kept", "--from", "start", "--exit") == "one\ntwo\nthree\n"


def test_ephemeral_leaves_nothing(tmp_path: pathlib.Path) -> None:
    with broker(tmp_path, "--port", "0", "--ephemeral", TMPDIR=str(tmp_path)) as running:
        running.cli("produce", "t", "x")
        assert list(tmp_path.glob("tierbroker-*"))
        assert running.stop()[0] == 0
    assert not list(tmp_path.glob("tierbroker-*"))


def test_set_and_environment_reach_the_broker(tmp_path: pathlib.Path) -> None:
    settings = ("--port", "0", "--ephemeral", "--set", "num.partitions=3")
    with broker(tmp_path, *settings, TIERBROKER_AUTO_CREATE_TOPICS_ENABLE="false") as running:
        assert running.cli("topic", "new", "t") == "t\t3\t1\n"
        done = subprocess.run(
            [*TIERBROKER, "produce", "none", "x", "-b", running.bootstrap],
            capture_output=True,
            check=False,
            timeout=DEADLINE_S,
        )
        assert done.returncode == 1
        assert b"1 of 1 records" in done.stderr


def test_serve_reads_its_file(tmp_path: pathlib.Path) -> None:
    config = tmp_path / "broker.toml"
    config.write_text(
        f'listeners = "PLAINTEXT://127.0.0.1:0"\n[log]\ndirs = "{tmp_path / "d"}"\n'
        "[num]\npartitions = 2\n"
    )
    with broker(
        tmp_path, "--config", str(config), "--set", "num.partitions=4", command="serve"
    ) as running:
        assert running.cli("topic", "new", "t") == "t\t4\t1\n"
        code, out, _ = running.stop()
    assert code == 0
    assert running.bootstrap in out


def test_an_advertised_address_that_leads_nowhere_is_named(tmp_path: pathlib.Path) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = str(reserved.getsockname()[1])
    nowhere = "advertised.listeners=PLAINTEXT://127.0.0.1:1"
    with broker(tmp_path, "--port", port, "--ephemeral", "--set", nowhere):
        for command in ("produce t x", "consume t --from start --exit", "topic show t"):
            done = subprocess.run(
                [*TIERBROKER, *command.split(), "-b", f"127.0.0.1:{port}"],
                capture_output=True,
                text=True,
                check=False,
                timeout=DEADLINE_S,
            )
            assert done.returncode == 3, done
            assert re.search(r"127\.0\.0\.1:1[/:]", done.stderr), done.stderr
            assert "advertises" in done.stderr


def failing(tmp_path: pathlib.Path, *arguments: str) -> str:
    done = subprocess.run(
        [*TIERBROKER, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
        env=ENVIRONMENT,
    )
    assert done.returncode == 1, done
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_setting_that_is_unknown_names_the_near_one(tmp_path: pathlib.Path) -> None:
    message = failing(tmp_path, "dev", "--ephemeral", "--set", "log.retention.msec=1")
    assert "log.retention.ms" in message


def test_a_file_that_is_not_there_is_named(tmp_path: pathlib.Path) -> None:
    assert "/no/such.toml" in failing(tmp_path, "serve", "--config", "/no/such.toml")


def test_a_taken_port_is_named(tmp_path: pathlib.Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        assert port in failing(tmp_path, "dev", "--ephemeral", "--port", port)


def test_a_locked_directory_is_named(tmp_path: pathlib.Path) -> None:
    data = str(tmp_path / "data")
    with broker(tmp_path, "--port", "0", "--data", data):
        assert data in failing(tmp_path, "dev", "--port", "0", "--data", data)
