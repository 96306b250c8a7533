"""Parts of an answer: their length, and leases that are given back."""

from tierbroker.base.parts import FileSlice, parts_length, release_parts


class CountedLease:
    def __init__(self) -> None:
        self.released = 0

    def release(self) -> None:
        self.released += 1


def test_length_is_bytes_on_the_wire() -> None:
    slices = FileSlice(3, 10, 7, CountedLease())
    assert parts_length([b"ab", bytearray(3), memoryview(b"cdef"), slices]) == 2 + 3 + 4 + 7
    assert parts_length([]) == 0


def test_each_lease_is_released_once() -> None:
    leases = [CountedLease(), CountedLease()]
    release_parts([b"x", *(FileSlice(3, 0, 1, lease) for lease in leases), memoryview(b"y")])
    assert [lease.released for lease in leases] == [1, 1]
