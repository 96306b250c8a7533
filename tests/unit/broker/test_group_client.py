"""Addresses look as Java prints them."""

import pathlib

import pytest

from tests.fake_groups import GroupBench
from tierbroker.broker.group_client import client_of, host_text
from tierbroker.groups.client import Client


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "0:0:0:0:0:0:0:1"),
        ("2001:db8::a00:1", "2001:db8:0:0:0:0:a00:1"),
        ("fe80::1%eth0", "fe80:0:0:0:0:0:0:1%eth0"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("unix", "unix"),
    ],
)
def test_hosts(address: str, expected: str) -> None:
    assert host_text(address) == expected


def test_the_sender_of_a_request(tmp_path: pathlib.Path) -> None:
    context = GroupBench(tmp_path).context(0)
    assert client_of(context) == Client("test", "/127.0.0.1")
    context.client_id = None
    assert client_of(context) == Client("", "/127.0.0.1")
