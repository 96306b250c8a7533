"""Requests and answers of the HTTP endpoint as values, and who may ask what.

Pure: no socket, no clock. The guard is against browsers: a page from anywhere must neither read
what this broker tells nor make it do something, be it by a form, by a script, or by a host name
that suddenly resolves to this machine (DNS rebinding).
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from tierbroker.base.pending import Pending

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
SAFE_METHODS = frozenset({"GET", "HEAD"})
_OWN_SITES = frozenset({"same-origin", "none"})


class BadRequestError(Exception):
    """The request cannot be understood; the message is for its sender."""


class HttpRequest(NamedTuple):
    """A request that has arrived whole. Names of headers are in lower case."""

    method: str
    path: str
    query: Mapping[str, str] = MappingProxyType({})
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes = b""
    peer_host: str = "127.0.0.1"

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; raises BadRequestError."""
        import json  # as below: no start needs it

        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise BadRequestError(f"the body is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise BadRequestError("the body is not a JSON object")
        return value


class HttpResponse(NamedTuple):
    """An answer with its body whole, in one piece or, where it is long, in many."""

    status: int
    body: bytes
    content_type: str = TEXT
    headers: tuple[tuple[str, str], ...] = ()
    rest: tuple[bytes, ...] = ()
    """Pieces of the body that follow: to join them would hold the loop."""

    @property
    def body_bytes(self) -> int:
        """The length of the whole body."""
        return len(self.body) + sum(map(len, self.rest))


Reply = HttpResponse | Pending[HttpResponse]
Handler = Callable[[HttpRequest], Reply]
"""Answers at once or later. A promise is cancelled when its client goes. Raises BadRequestError."""

Routes = Mapping[str, Mapping[str, Handler]]
"""By path, then by method. What answers GET answers HEAD too."""


def json_response(value: Mapping[str, object], status: int = 200) -> HttpResponse:
    """An object, readable for people too."""
    import json

    return HttpResponse(status, json.dumps(value, indent=2).encode() + b"\n", JSON)


def text_response(text: str, status: int = 200) -> HttpResponse:
    """A line of text."""
    return HttpResponse(status, text.encode() + b"\n")


def error_response(message: str, status: int) -> HttpResponse:
    """Why something was not done, in the form of every error here."""
    return json_response({"error": message}, status)


def is_loopback_name(host: str) -> bool:
    """Whether a host, as in a URL without its port, can only mean the machine of who uses it."""
    name = host.strip("[]").lower()
    if name in ("localhost", "::1"):
        return True
    numbers = name.split(".")
    return numbers[0] == "127" and len(numbers) == 4 and all(each.isdigit() for each in numbers)


def refusal(request: HttpRequest, *, local_only: bool) -> HttpResponse | None:
    """Why a request is not even looked at, or None. `local_only`: the listener is on loopback."""
    host = request.headers.get("host", "")
    name = host.rpartition("]")[0] if host.startswith("[") else host.partition(":")[0]
    changes = request.method not in SAFE_METHODS
    if changes and not is_loopback_name(request.peer_host.removeprefix("::ffff:")):
        return error_response("this may be asked on the broker's own machine only", 403)
    if (local_only or changes) and not is_loopback_name(name):
        return error_response(f"this broker is not {name!r}: ask for 127.0.0.1 or localhost", 421)
    origin = request.headers.get("origin")
    if origin is not None and origin != f"http://{host}":
        return error_response(f"pages of {origin!r} may not ask this broker", 403)
    if request.headers.get("sec-fetch-site", "none") not in _OWN_SITES:
        return error_response("pages of other sites may not ask this broker", 403)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if changes and kind != JSON:
        # No form of a page can send it without the browser asking first, which is refused.
        return error_response(f"the body must be {JSON}", 415)
    return None


def route(routes: Routes, request: HttpRequest, *, local_only: bool) -> Reply:
    """The answer to a request, by its path and method."""
    methods = routes.get(request.path)
    if methods is None:
        known = ", ".join(sorted(routes))
        return error_response(f"there is no {request.path} here, but {known}", 404)
    handler = methods.get("GET" if request.method == "HEAD" else request.method)
    if handler is None:
        allowed = ", ".join(sorted({*methods, *(("HEAD",) if "GET" in methods else ())}))
        refused = error_response(f"{request.path} takes {allowed}", 405)
        return HttpResponse(405, refused.body, refused.content_type, (("Allow", allowed),))
    refused_or_none = refusal(request, local_only=local_only)
    if refused_or_none is not None:
        return refused_or_none
    try:
        return handler(request)
    except BadRequestError as error:
        return error_response(str(error), 400)
