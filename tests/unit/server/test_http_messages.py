import pytest

from tierbroker.server.http_messages import (
    JSON,
    BadRequestError,
    HttpRequest,
    HttpResponse,
    Reply,
    Routes,
    is_loopback_name,
    json_response,
    refusal,
    route,
    text_response,
)

LOCAL = {"host": "127.0.0.1:9644"}
POST = {**LOCAL, "content-type": JSON}


def told(request: HttpRequest) -> Reply:
    return json_response(request.json())


ROUTES: Routes = {"/page": {"GET": lambda _: text_response("here")}, "/act": {"POST": told}}


def ask(request: HttpRequest, *, local_only: bool = True) -> HttpResponse:
    reply = route(ROUTES, request, local_only=local_only)
    assert isinstance(reply, HttpResponse)
    return reply


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "LOCALHOST", "[::1]"])
def test_names_of_this_machine(host: str) -> None:
    assert is_loopback_name(host)


@pytest.mark.parametrize(
    "host", ["", "127.0.0.1.example", "127.1", "localhost.example", "10.0.0.1", "example", "[::2]"]
)
def test_names_that_somebody_else_may_own(host: str) -> None:
    assert not is_loopback_name(host)


def test_a_page_is_found_by_path_and_method() -> None:
    assert ask(HttpRequest("GET", "/page", headers=LOCAL)).body == b"here\n"
    assert ask(HttpRequest("HEAD", "/page", headers=LOCAL)).status == 200
    missing = ask(HttpRequest("GET", "/none", headers=LOCAL))
    assert (missing.status, b"/act, /page" in missing.body) == (404, True)
    wrong = ask(HttpRequest("DELETE", "/page", headers=LOCAL))
    assert (wrong.status, wrong.headers) == (405, (("Allow", "GET, HEAD"),))
    assert ask(HttpRequest("GET", "/act", headers=LOCAL)).headers == (("Allow", "POST"),)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:9644", "", "[::2]:1"])
def test_a_loopback_listener_answers_to_its_own_names_only(host: str) -> None:
    request = HttpRequest("GET", "/page", headers={"host": host})
    assert ask(request).status == 421
    assert ask(request, local_only=False).status == 200


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({}, 200),
        ({"origin": "http://127.0.0.1:9644"}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"content-type": "application/json; charset=utf-8"}, 200),
        ({"host": "evil.example"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "https://127.0.0.1:9644"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": ""}, 415),
    ],
)
def test_what_changes_something_is_for_programs_of_this_machine(
    changed: dict[str, str], status: int
) -> None:
    for local_only in (True, False):
        request = HttpRequest("POST", "/act", headers=POST | changed, body=b"{}")
        assert ask(request, local_only=local_only).status == status


def test_only_this_machine_changes_anything() -> None:
    request = HttpRequest("POST", "/act", headers=POST, body=b"{}", peer_host="10.0.0.1")
    assert ask(request, local_only=False).status == 403
    mapped = HttpRequest("POST", "/act", headers=POST, body=b"{}", peer_host="::ffff:127.0.0.1")
    assert refusal(mapped, local_only=False) is None


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 50_000])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequestError):
        HttpRequest("POST", "/act", body=body).json()
    assert ask(HttpRequest("POST", "/act", headers=POST, body=body)).status == 400
