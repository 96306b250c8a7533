"""The index of APIs, and that nothing is loaded before it is asked for."""

import subprocess
import sys

import pytest
from kio.schema.index import api_key_map

from tierbroker.wire import messages
from tierbroker.wire.api_keys import ApiKey, flexible_from, version_range
from tierbroker.wire.messages.index import APIS


def test_the_keys_are_those_of_the_index_and_of_another_implementation() -> None:
    assert {key.value for key in ApiKey} == APIS.keys() == set(api_key_map)
    for key in ApiKey:
        assert key.name.lower() == APIS[key].module


@pytest.mark.parametrize(
    ("key", "versions", "flexible"),
    [
        (ApiKey.PRODUCE, (3, 13), 9),
        (ApiKey.FETCH, (4, 18), 12),
        (ApiKey.METADATA, (0, 13), 9),
        (ApiKey.API_VERSIONS, (0, 4), 3),
        (ApiKey.INIT_PRODUCER_ID, (0, 5), 2),  # 6 is not stable in 4.3
        (ApiKey.OFFSET_DELETE, (0, 0), 1 << 15),
    ],
)
def test_versions(key: ApiKey, versions: tuple[int, int], flexible: int) -> None:
    assert version_range(key) == versions
    assert flexible_from(key) == flexible


def test_every_module_says_the_same_as_the_index() -> None:
    for key, api in APIS.items():
        module = messages.load(key)
        assert key == module.API_KEY
        assert api.name == module.NAME
        assert api.flexible_from == module.FLEXIBLE_FROM
        assert module.REQUEST_VERSIONS[0] == api.first_version


def test_no_message_module_is_loaded_before_it_is_asked_for() -> None:
    code = (
        "import sys, tierbroker.wire.messages as m, tierbroker.wire.header;"
        "import tierbroker.wire.api_keys;"
        "import tierbroker.controller.records as r;"
        "found = lambda: sorted(n for n in sys.modules if n.startswith((m.__name__ + '.', "
        "r.__name__ + '.')));"
        "print(found()); m.load(3); r.load(20); print(found())"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = out.stdout.splitlines()
    index = ["tierbroker.controller.records.index", "tierbroker.wire.messages.index"]
    assert before == str(index)
    assert after == str(
        sorted(
            [
                *index,
                "tierbroker.controller.records.no_op_record",
                "tierbroker.wire.messages.metadata",
            ]
        )
    )


def test_an_unknown_key() -> None:
    with pytest.raises(KeyError):
        messages.load(4)
