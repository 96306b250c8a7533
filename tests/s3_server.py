"""A bucket for tests: moto's server in a thread, and a store that is opened on it."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3

from tierbroker.base.clock import SystemClock
from tierbroker.base.config import ConfigSchema, ConfigValues, Scope
from tierbroker.base.executor import ThreadExecutor
from tierbroker.base.fs import FileSystem, OsFileSystem
from tierbroker.cold.config import COLD_KEYS
from tierbroker.cold.ports import ObjectStore
from tierbroker.cold.stores import StorePorts, open_store

KEY_ID = "tierbroker"
SECRET = "tierbroker-secret"

IN_PARTS = {
    "cold.multipart.threshold.bytes": "6000000",
    "cold.multipart.part.bytes": str(5 * 1024 * 1024),
}
"""So that objects of a few MiB go in parts."""


@contextmanager
def moto_server() -> Iterator[str]:
    """Its endpoint."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


_MAKING_CLIENTS = threading.Lock()
"""boto3 makes all clients with one session, which may fail when two threads do so at a time."""


def judge(endpoint: str) -> Any:
    """boto3's client: it says what lies in a bucket. Any thread may make one."""
    with _MAKING_CLIENTS:
        return boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )


def cold_values(texts: Mapping[str, str]) -> ConfigValues:
    """Settings of the store, the others at their defaults."""
    schema = ConfigSchema(COLD_KEYS)
    return ConfigValues({**schema.defaults(Scope.BROKER), **schema.parse(texts, Scope.BROKER)})


@contextmanager
def opened_bucket(
    url: str, endpoint: str, texts: Mapping[str, str] | None = None, fs: FileSystem | None = None
) -> Iterator[ObjectStore]:
    """The store, inside a running loop."""
    loop = asyncio.get_running_loop()
    executor = ThreadExecutor(4, loop.call_soon_threadsafe)
    ports = StorePorts(executor, fs or OsFileSystem(), SystemClock(), loop)
    settings = {
        "cold.s3.endpoint": endpoint,
        "cold.s3.access.key.id": KEY_ID,
        "cold.s3.secret.access.key": SECRET,
        **(texts or {}),
    }
    store = open_store(url, cold_values(settings), ports, env={})
    try:
        yield store
    finally:
        store.close()
        executor.close()
