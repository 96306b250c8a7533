"""Numbers, retriability and the code of each error."""

import inspect

import pytest
from kio.schema.errors import ErrorCode as KioErrorCode

from tierbroker.base import errors
from tierbroker.wire.error_codes import ErrorCode, code_of, is_retriable

API_ERRORS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.ApiError) and kind is not errors.ApiError
]


def test_names_and_numbers_are_those_of_another_implementation() -> None:
    theirs = {code.value: code.name for code in KioErrorCode}
    assert {code.value: code.name.lower() for code in ErrorCode} == theirs


def test_retriable_is_what_another_implementation_says() -> None:
    for code in KioErrorCode:
        if code.value != 0:
            assert is_retriable(code.value) == code.retriable, code


@pytest.mark.parametrize("kind", API_ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_has_a_code_that_agrees_on_retrying(kind: type[errors.ApiError]) -> None:
    code = code_of(kind("why"))
    assert is_retriable(code) == kind.retriable
    if kind is not errors.UnknownServerError:
        assert code is not ErrorCode.UNKNOWN_SERVER_ERROR


def test_each_code_belongs_to_one_error() -> None:
    codes = [code_of(kind("")) for kind in API_ERRORS]
    assert len(set(codes)) == len(codes)


def test_a_subclass_has_the_code_of_its_base() -> None:
    class Special(errors.InvalidTopicError):
        pass

    assert code_of(Special("")) is ErrorCode.INVALID_TOPIC_EXCEPTION


def test_an_error_without_a_code_is_unknown() -> None:
    assert code_of(errors.ApiError("")) is ErrorCode.UNKNOWN_SERVER_ERROR
