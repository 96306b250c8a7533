"""Which client software names are legal."""

import pytest

from tierbroker.wire.client_software import is_software_name


@pytest.mark.parametrize("text", ["a", "7", "apache-kafka-java", "4.3.0", "librdkafka", "a..b"])
def test_allowed(text: str) -> None:
    assert is_software_name(text)


@pytest.mark.parametrize(
    "text", ["", "-a", "a-", ".1", "1.", "a b", "a/b", "a_b", "prüfung", "a\n", "٣"]
)
def test_refused(text: str) -> None:
    assert not is_software_name(text)
