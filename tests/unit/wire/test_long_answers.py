"""Slices of a long answer are the bytes of the whole one."""

import importlib
from typing import Any

import pytest

from tierbroker.wire import codecs
from tierbroker.wire.api_keys import ApiKey
from tierbroker.wire.long_answers import ROWS, ROWS_AT_ONCE, encode_slices, is_long
from tierbroker.wire.messages.index import APIS

SINCE = {
    ApiKey.ADD_PARTITIONS_TO_TXN: 4,
    ApiKey.FIND_COORDINATOR: 4,
    ApiKey.OFFSET_FETCH: 8,
}
ELEMENTS = {
    ApiKey.ADD_PARTITIONS_TO_TXN: "AddPartitionsToTxnResult",
    ApiKey.DELETE_GROUPS: "DeletableGroupResult",
    ApiKey.DESCRIBE_CONFIGS: "DescribeConfigsResult",
    ApiKey.DESCRIBE_GROUPS: "DescribedGroup",
    ApiKey.DESCRIBE_TRANSACTIONS: "TransactionState",
    ApiKey.FIND_COORDINATOR: "Coordinator",
    ApiKey.LIST_GROUPS: "ListedGroup",
    ApiKey.LIST_TRANSACTIONS: "TransactionState",
    ApiKey.OFFSET_FETCH: "OffsetFetchResponseGroup",
    ApiKey.WRITE_TXN_MARKERS: "WritableTxnMarkerResult",
}
CASES = [
    (key, version)
    for key in ROWS
    for version in range(SINCE.get(key, APIS[key].first_version), APIS[key].last_version + 1)
]


def response_of(key: ApiKey, count: int) -> Any:
    module = importlib.import_module(f"tierbroker.wire.messages.{APIS[key].module}")
    rows = []
    for number in range(count):
        row = getattr(module, ELEMENTS[key])()
        for field in ("transactional_id", "group_id", "resource_name", "key"):
            if hasattr(row, field):
                setattr(row, field, f"name-{number}")
        if hasattr(row, "producer_id"):
            row.producer_id = number
        rows.append(row)
    response = getattr(module, f"{APIS[key].name}Response")()
    if hasattr(response, "throttle_time_ms"):
        response.throttle_time_ms = 7
    setattr(response, ROWS[key], rows)
    return response


@pytest.mark.parametrize(("key", "version"), CASES)
@pytest.mark.parametrize("count", [ROWS_AT_ONCE + 1, 3 * ROWS_AT_ONCE, 2_000])
def test_slices_are_the_whole(key: ApiKey, version: int, count: int) -> None:
    encode = codecs.load(key).encode_response
    (whole,) = encode(response_of(key, count), version, b"head")
    pieces = list(encode_slices(key, encode, response_of(key, count), version, b"head"))
    assert b"".join(pieces) == whole
    assert len(pieces) == 2 + -(-count // ROWS_AT_ONCE)


def test_what_is_short_stays_whole() -> None:
    for key in ROWS:
        assert not is_long(key, response_of(key, ROWS_AT_ONCE))
        assert is_long(key, response_of(key, ROWS_AT_ONCE + 1))
    assert not is_long(ApiKey.HEARTBEAT, object())
