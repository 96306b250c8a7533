"""Addresses as a person types them."""

import pytest

from tierbroker.cli.bootstrap import Address, Bootstrap, InvalidBootstrapError


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("127.0.0.1:9092", [("127.0.0.1", 9092)]),
        ("broker", [("broker", 9092)]),
        ("a:1,b:2", [("a", 1), ("b", 2)]),
        (" a:1 , b ,", [("a", 1), ("b", 9092)]),
        ("[::1]:7000", [("::1", 7000)]),
        ("[::1]", [("::1", 9092)]),
    ],
)
def test_parses(text: str, addresses: list[tuple[str, int]]) -> None:
    assert Bootstrap.parse(text).addresses == tuple(Address(*pair) for pair in addresses)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "names no address"),
        (",", "names no address"),
        (":9092", "no host"),
        ("a:", "no valid port"),
        ("a:x", "no valid port"),
        ("a:0", "no valid port"),
        ("a:65536", "no valid port"),
        ("a:9\u0663", "no valid port"),
        ("::1:9092", "in brackets"),
        ("PLAINTEXT://a:9092", "no protocol name"),
        ("[::1", "IPV6"),
        ("[::1]x", "IPV6"),
    ],
)
def test_refuses_with_a_reason(text: str, says: str) -> None:
    with pytest.raises(InvalidBootstrapError, match=says):
        Bootstrap.parse(text)


def test_text_form_parses_to_the_same() -> None:
    bootstrap = Bootstrap.parse("a:1,[::1]:2")
    assert str(bootstrap) == "a:1,[::1]:2"
    assert Bootstrap.parse(str(bootstrap)) == bootstrap
