"""Requests to an S3 store that the transfer library does not make.

The full-object checksum of an object, listings by plain prefix, multipart uploads that were left,
and how a bucket is configured. Signed by AWS's runtime library, sent with the standard library's
client; they block, so they run on the store's worker threads.
"""

import ssl
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import NamedTuple
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

from tierbroker.base.clock import Clock
from tierbroker.cold.checksum import parse_checksum
from tierbroker.cold.config import S3Settings
from tierbroker.cold.errors import StoreRefusedError, StoreUnavailableError
from tierbroker.cold.stores.s3_credentials import S3Credentials
from tierbroker.cold.stores.s3_errors import S3Failure, judge

SIGNING_TIMEOUT_S = 20.0
ANSWER_MAX_BYTES = 16 * 1024 * 1024


class S3Answer(NamedTuple):
    """What the store said. Header names are in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes

    def tree(self) -> ElementTree.Element:
        """The answer's XML. Its names lose their namespace, which stores disagree about."""
        root = ElementTree.fromstring(self.body)  # noqa: S314 - expat limits entities since 2.4.1
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
        return root

    def whole_checksum(self) -> int | None:
        """The CRC-64/NVME of the whole object, if the store keeps one; not one made of its
        parts'."""
        text = self.headers.get("x-amz-checksum-crc64nvme")
        kind = self.headers.get("x-amz-checksum-type", "FULL_OBJECT")
        if text is None or kind != "FULL_OBJECT":
            return None
        try:
            return parse_checksum(text)
        except ValueError:
            return None


class S3Requests:
    """A signer and a few kept connections. Any thread may use it."""

    def __init__(
        self, settings: S3Settings, credentials: S3Credentials, clock: Clock, timeout_s: float
    ) -> None:
        self._url = settings.url
        self._prefix = f"{settings.prefix}/" if settings.prefix else ""
        self._region = settings.region
        self._credentials = credentials
        self._clock = clock
        self._timeout_s = timeout_s
        base = urlsplit(settings.base_url)
        self._host = base.netloc
        self._path = base.path
        self._tls: ssl.SSLContext | None = None
        if base.scheme == "https":
            self._tls = ssl.create_default_context()
            if settings.ca_file is not None:
                self._tls.load_verify_locations(settings.ca_file)
        self._idle: deque[HTTPConnection] = deque()

    def ask(
        self,
        method: str,
        path: str = "",
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> S3Answer:
        """Send a request without a body about the bucket, or the object `path` of it.

        Raises the errors of `cold.errors`.
        """
        answer = self.try_asking(method, path, query, headers)
        self.check(answer, method, path)
        return answer

    def check(self, answer: S3Answer, method: str, path: str) -> None:
        """Raise the error of `cold.errors` that the answer is; nothing for a success."""
        if answer.status >= 300:
            raise judge(self.failure(answer, method), self._url, self._named(path))

    def try_asking(
        self,
        method: str,
        path: str = "",
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> S3Answer:
        """As `ask`, and hands out whatever the store answers; raises when it answers nothing."""
        target = f"{self._path}/{quote(path, safe='/~')}" if path else self._path or "/"
        if query:
            target += "?" + "&".join(
                f"{quote(name, safe='~')}={quote(value, safe='~')}"
                for name, value in sorted(query.items())
            )
        signed = self._sign(method, target, headers or {})
        while True:
            kept = bool(self._idle)
            connection = self._idle.pop() if kept else self._connect()
            try:
                connection.request(method, target, headers=signed)
                response = connection.getresponse()
                body = response.read(ANSWER_MAX_BYTES)
            except (OSError, HTTPException) as error:
                connection.close()
                if kept and not isinstance(error, TimeoutError):
                    continue  # the store closed it while it was idle
                raise StoreUnavailableError(
                    f"{self._url}: {self._named(path)}: no answer to {method}: {error!r}"
                ) from error
            if response.will_close:
                connection.close()
            else:
                self._idle.append(connection)
            found = {name.lower(): value for name, value in response.getheaders()}
            return S3Answer(response.status, found, body)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._idle.pop().close()

    def _named(self, path: str) -> str:
        return path.removeprefix(self._prefix) or "the bucket"

    def _connect(self) -> HTTPConnection:
        if self._tls is None:
            return HTTPConnection(self._host, timeout=self._timeout_s)
        return HTTPSConnection(self._host, timeout=self._timeout_s, context=self._tls)

    def _sign(self, method: str, target: str, headers: Mapping[str, str]) -> dict[str, str]:
        from awscrt import auth, http

        request = http.HttpRequest(
            method, target, http.HttpHeaders([("host", self._host), *headers.items()])
        )
        config = auth.AwsSigningConfig(
            algorithm=auth.AwsSigningAlgorithm.V4,
            signature_type=auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
            credentials_provider=self._credentials.provider,
            region=self._region,
            service="s3",
            date=datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC),
            use_double_uri_encode=False,
            should_normalize_uri_path=False,
            signed_body_value=auth.AwsSignedBodyValue.EMPTY_SHA256,
            signed_body_header_type=auth.AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256,
        )
        try:
            signed = auth.aws_sign_request(request, config).result(SIGNING_TIMEOUT_S)
        except Exception as error:
            raise StoreRefusedError(
                f"{self._url}: no credentials to sign a request with: {error!r}. Set "
                "cold.s3.access.key.id and cold.s3.secret.access.key, or cold.s3.profile"
            ) from error
        return dict(iter(signed.headers))

    def failure(self, answer: S3Answer, method: str) -> S3Failure:
        """What the store says about a request that it did not do."""
        # The answer to HEAD has no body that could say what there is not.
        code = "NotFound" if method == "HEAD" and answer.status == 404 else ""
        message = ""
        if answer.body.lstrip().startswith(b"<"):
            try:
                tree = answer.tree()
            except ElementTree.ParseError:
                tree = ElementTree.Element("Error")
            code = tree.findtext("Code") or code
            message = tree.findtext("Message") or ""
        return S3Failure(answer.status, code, message or f"{method} was answered {answer.status}")


class LeftUpload(NamedTuple):
    """A multipart upload that was begun and neither finished nor given up."""

    path: str
    upload_id: str
    begun_ms: int


def left_uploads(requests: S3Requests, prefix: str) -> Iterator[LeftUpload]:
    """The unfinished multipart uploads below a prefix, as far as the store lists them."""
    query = {"uploads": "", "prefix": prefix}
    while True:
        tree = requests.ask("GET", query=query).tree()
        for upload in tree.iterfind("Upload"):
            yield LeftUpload(
                upload.findtext("Key") or "",
                upload.findtext("UploadId") or "",
                parse_time_ms(upload.findtext("Initiated") or ""),
            )
        if tree.findtext("IsTruncated") != "true":
            return
        query["key-marker"] = tree.findtext("NextKeyMarker") or ""
        query["upload-id-marker"] = tree.findtext("NextUploadIdMarker") or ""


def abort_upload(requests: S3Requests, upload: LeftUpload) -> None:
    """Give the upload up; the store forgets its parts. One that is gone already is a success."""
    query = {"uploadId": upload.upload_id}
    answer = requests.try_asking("DELETE", upload.path, query)
    if answer.status != 404 or requests.failure(answer, "DELETE").code != "NoSuchUpload":
        requests.check(answer, "DELETE", upload.path)


def parse_time_ms(text: str) -> int:
    """Milliseconds since 1970 of a time in a listing, 2026-11-01T10:00:00.000Z; 0 for none."""
    if not text:
        return 0
    return int(datetime.fromisoformat(text).timestamp() * 1000)
