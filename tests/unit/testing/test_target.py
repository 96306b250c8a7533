"""Names of the topics that tests get."""

import re

import pytest

from tierbroker.testing.target import topic_name


@pytest.mark.parametrize(
    ("purpose", "name"),
    [
        ("test_orders", "test-orders-x1"),
        ("test_orders[a/b c-1]", "test-orders-a-b-c-1-x1"),
        ("тест", "x1"),
        ("", "x1"),
    ],
)
def test_names_are_readable_and_legal(purpose: str, name: str) -> None:
    assert topic_name(purpose, "x1") == name
    assert re.fullmatch(r"[a-zA-Z0-9-]+", name)


def test_names_are_short_enough_for_kafka() -> None:
    assert len(topic_name("t" * 500, "0123456789-12")) < 249
