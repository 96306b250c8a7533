"""obstore's clients for one bucket, and its answers as `Pending`s.

A client has one timeout for all that it does, so there is one for each magnitude of what a request
carries. The work runs on the library's own threads, outside the interpreter's lock.
"""

import atexit
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import obstore.store
from obstore.exceptions import BaseError

from tierbroker.base.pending import Pending
from tierbroker.cold.config import MIB, S3Settings, TransferLimits
from tierbroker.cold.errors import StoreError, StoreRefusedError, StoreUnavailableError
from tierbroker.cold.stores.s3_credentials import S3Credentials
from tierbroker.cold.stores.s3_errors import judge, parse_failure

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config

T = TypeVar("T")

SLOWEST_BYTES_PER_S = 256 * 1024
RETRIES = 3
CONNECT_TIMEOUT_S = 5.0
SETTLE_S = 0.05
_CREDENTIALS_MISSING = "no credentials from"


class S3Clients:
    """Clients by how much a request carries, made when they are first needed."""

    def __init__(
        self, settings: S3Settings, limits: TransferLimits, credentials: S3Credentials
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._credentials = credentials
        self._clients: dict[tuple[int, bool], obstore.store.S3Store] = {}

    def carrying(self, size_bytes: int, *, retries: bool = True) -> obstore.store.S3Store:
        """The client for a request with that many bytes.

        Without `retries` each request is made once, so that a refusal is about that request.
        """
        magnitude = MIB
        while magnitude < size_bytes:
            magnitude *= 4
        client = self._clients.get((magnitude, retries))
        if client is None:
            client = self._clients[magnitude, retries] = self._make(magnitude, retries)
        return client

    def timeout_s(self, size_bytes: int) -> float:
        """How long a request that carries this may take."""
        return self._limits.timeout_ms / 1000 + size_bytes / SLOWEST_BYTES_PER_S

    def _make(self, magnitude: int, retries: bool) -> obstore.store.S3Store:
        timeout_s = self._limits.timeout_ms / 1000
        client: ClientConfig = {
            "allow_http": True,  # the settings have checked the address
            "connect_timeout": timedelta(seconds=min(CONNECT_TIMEOUT_S, timeout_s)),
            "read_timeout": timedelta(seconds=timeout_s),
            "timeout": timedelta(seconds=self.timeout_s(magnitude)),
        }
        if self._settings.ca_file is not None:
            client["root_certificate"] = Path(self._settings.ca_file).read_bytes()
        _settle_at_exit()
        provider = None if self._credentials.fixed else self._credentials.lookup
        return obstore.store.S3Store(
            self._settings.bucket,
            config=_library_config(self._settings),
            client_options=client,
            retry_config={
                "max_retries": RETRIES if retries else 0,
                "retry_timeout": timedelta(seconds=timeout_s),
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=2),
                    "base": 2,
                },
            },
            credential_provider=provider,
        )


@cache
def _settle_at_exit() -> None:
    """Leave the library's threads the time to give back what they hold of the interpreter.

    One that asks for the interpreter's lock while it is torn down is ended in the middle of that,
    and the whole process aborts, after all its work is done: one in six of the programs that end
    right after a few reads. The library has no call that waits for its threads.
    """
    atexit.register(threading.Event().wait, SETTLE_S)


def _library_config(settings: S3Settings) -> "S3Config":
    config: S3Config = {
        "region": settings.region,
        "endpoint": settings.base_url if not settings.path_style else _endpoint(settings),
        "virtual_hosted_style_request": not settings.path_style,
        # The checksum guards what is sent. To sign a SHA-256 of it as well doubles the CPU.
        "unsigned_payload": settings.checksum,
        "disable_bulk_delete": True,
        "conditional_put": "etag",
    }
    if settings.checksum:
        config["checksum_algorithm"] = "CRC64NVME"
    if settings.access_key_id is not None and settings.secret_access_key is not None:
        config["access_key_id"] = settings.access_key_id
        config["secret_access_key"] = settings.secret_access_key
        if settings.session_token is not None:
            config["session_token"] = settings.session_token
    if settings.server_side_encryption is not None:
        config["server_side_encryption"] = settings.server_side_encryption
    if settings.kms_key_id is not None:
        config["sse_kms_key_id"] = settings.kms_key_id
    return config


def _endpoint(settings: S3Settings) -> str:
    return settings.base_url.removesuffix(f"/{settings.bucket}")


def when_answered(
    ask: Callable[[], Any], url: str, key: str, *, cancellable: bool = True
) -> Pending[Any]:
    """Begin a request of the library; its outcome with errors of `cold.errors`.

    To cancel the `Pending` drops the request, where that leaves nothing behind.
    """
    pending: Pending[Any] = Pending()
    try:
        future = ask()
    except (BaseError, OSError, ValueError) as error:
        pending.fail(translated(error, url, key))
        return pending
    if cancellable:
        pending.on_cancel = future.cancel

    def done(_: object) -> None:
        if future.cancelled():
            pending.fail(StoreUnavailableError(f"{url}: {key}: given up"))
            return
        error = future.exception()
        if error is None:
            pending.resolve(future.result())
        else:
            pending.fail(translated(error, url, key))

    future.add_done_callback(done)
    return pending


def translated(error: BaseException, url: str, key: str) -> BaseException:
    """An error of the library as one of ours; one that is ours, or a bug, stays what it is."""
    if isinstance(error, StoreError) or not isinstance(error, BaseError | OSError | ValueError):
        return error
    text = str(error)
    if _CREDENTIALS_MISSING in text:
        start = text.index(_CREDENTIALS_MISSING)
        return StoreRefusedError(f"{url}: {text[start:].splitlines()[0]}")
    if isinstance(error, ValueError):
        return StoreRefusedError(f"{url}: {key!r} cannot be a key: {text.splitlines()[0]}")
    return judge(parse_failure(text), url, key)
