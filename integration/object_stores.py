"""Object stores as processes of their own: MinIO and versitygw, built once from their modules.

Both have one shape, so that a test does not know which of them it talks to: `endpoint`, `start()`,
`stop()`, `kill()`. Go builds them into a cache outside the project; that takes minutes once, so
`make integration` does it before the tests: python -m integration.object_stores.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Protocol
from urllib.error import URLError
from urllib.request import urlopen

from botocore.exceptions import BotoCoreError, ClientError

from integration.broker_processes import Process, free_port, wait_until
from tests.s3_server import KEY_ID, SECRET, judge

BUILD_TIMEOUT_S = 1800.0
BUILD_ATTEMPTS = 3
"""Of the modules that it fetches, one may be refused or cut short once."""
START_TIMEOUT_S = 120.0

MODULES = {
    "minio": "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c",
    "versitygw": "github.com/versity/versitygw/cmd/versitygw@v1.8.0",
}


class ObjectStoreProcess(Protocol):
    """A store under test. Credentials are those of `tests.s3_server`."""

    port: int

    @property
    def endpoint(self) -> str: ...

    def start(self) -> None:
        """Return once it answers. The port and what is stored stay the same over restarts."""

    def stop(self) -> None:
        """SIGTERM, and wait for the end."""

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""


def program(name: str) -> Path:
    """The built program; builds it when it is not in the cache yet."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(base) / "tierbroker-object-stores"
    path = folder / name
    if path.exists():
        return path
    go = shutil.which("go")
    assert go is not None, f"{name} is built from source: install Go 1.25 or later"
    building = folder / f"building-{os.getpid()}"
    building.mkdir(parents=True, exist_ok=True)
    log = folder / f"{name}-build.log"
    for attempt in range(1, BUILD_ATTEMPTS + 1):
        print(f"building {name} ({MODULES[name]}), once ...", file=sys.stderr, flush=True)
        if _build(go, name, building, log) == 0:
            break
        said = log.read_text(errors="replace")[-4000:]
        assert attempt < BUILD_ATTEMPTS, f"{name} could not be built:\n{said}"
        print(f"{said}\n  once more in {10 * attempt} s", file=sys.stderr, flush=True)
        time.sleep(10 * attempt)
    # Renamed, so that two who build at the same time do not see half a file.
    (building / name).rename(path)
    building.rmdir()
    return path


def _build(go: str, name: str, directory: Path, log: Path) -> int:
    """Go's exit code; what it fetched is kept, so that a second attempt fetches the rest."""
    begun = time.monotonic()
    with log.open("wb") as output:
        build = subprocess.Popen(
            [go, "install", MODULES[name]],
            env={**os.environ, "GOBIN": str(directory), "CGO_ENABLED": "0"},
            stderr=subprocess.STDOUT,
            stdout=output,
        )
    while build.poll() is None:
        try:
            build.wait(15)
        except subprocess.TimeoutExpired:
            passed_s = time.monotonic() - begun
            print(f"  still building {name}, {passed_s:.0f} s", file=sys.stderr, flush=True)
            if passed_s > BUILD_TIMEOUT_S:
                build.kill()
                build.wait()
    return build.returncode


def serves(endpoint: str) -> bool:
    """Whether the store does what one who may asks of it."""
    try:
        judge(endpoint).list_buckets()
    except (BotoCoreError, ClientError):
        return False
    return True


class _Server:
    """What both have in common. Not to be used by itself."""

    def __init__(self, directory: Path, name: str) -> None:
        self.port = free_port()
        self.data_dir = directory / "objects"
        self._name = name
        self._process = Process(directory / f"{name}.log")
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.running

    def stop(self) -> None:
        if self.running:
            self._process.end(signal.SIGTERM)

    def kill(self) -> None:
        if self.running:
            self._process.end(signal.SIGKILL)

    def pause(self) -> None:
        """Keep its connections and answer nothing, until `resume`."""
        os.kill(self.pid, signal.SIGSTOP)
        # Each of its threads stops by itself, a moment later; one that runs may still answer.
        wait_until(self._all_stopped, "stop of each thread", START_TIMEOUT_S, self._process)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def _all_stopped(self) -> bool:
        try:
            told = [file.read_text() for file in Path(f"/proc/{self.pid}/task").glob("*/stat")]
        except OSError:
            return False  # a thread has just ended
        return {text.rpartition(")")[2].split()[0] for text in told} == {"T"}

    def log_text(self) -> str:
        return self._process.log_text()

    def _launch(self, arguments: list[str], env: Mapping[str, str], probe: str) -> None:
        self._process.launch([str(program(self._name)), *arguments], env)
        wait_until(
            lambda: self._answers(probe), f"answer of {self._name}", START_TIMEOUT_S, self._process
        )

    def _answers(self, probe: str) -> bool:
        try:
            with urlopen(self.endpoint + probe, timeout=2) as answer:
                return bool(answer.status == 200)
        except URLError as error:
            return getattr(error, "code", None) == 403  # it asks who we are: it is there
        except (OSError, HTTPException):
            return False


class Minio(_Server):
    """MinIO with one drive."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, "minio")

    def start(self) -> None:
        address = f"127.0.0.1:{self.port}"
        env = {"MINIO_ROOT_USER": KEY_ID, "MINIO_ROOT_PASSWORD": SECRET, "MINIO_BROWSER": "off"}
        arguments = ["server", "--quiet", "--address", address, str(self.data_dir)]
        self._launch(arguments, env, "/minio/health/ready")
        # It says that it is ready, and refuses requests for a while all the same.
        wait_until(
            lambda: serves(self.endpoint), "request served by MinIO", START_TIMEOUT_S, self._process
        )


class Versitygw(_Server):
    """versitygw before a directory."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, "versitygw")
        self._sidecar = directory / "attributes"

    def start(self) -> None:
        self.data_dir.mkdir(exist_ok=True)
        self._sidecar.mkdir(exist_ok=True)
        env = {"ROOT_ACCESS_KEY": KEY_ID, "ROOT_SECRET_KEY": SECRET}
        arguments = ["--port", f"127.0.0.1:{self.port}", "--keep-alive", "--quiet", "posix"]
        # Attributes in files of their own: not every file system has user attributes.
        arguments += ["--sidecar", str(self._sidecar), str(self.data_dir)]
        self._launch(arguments, env, "/")


if __name__ == "__main__":
    for module in MODULES:
        program(module)
