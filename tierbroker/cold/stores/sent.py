"""A body on its way to a store: how far it has been read, and its checksum so far."""

from tierbroker.base.fs import Buffer
from tierbroker.cold.checksum import crc64nvme
from tierbroker.cold.stores.body import Body


class Sent:
    """One piece is read at a time, each once."""

    __slots__ = ("checksum", "position", "source")

    def __init__(self, source: Body) -> None:
        self.source = source
        self.position = 0
        self.checksum = 0
        """CRC-64/NVME of the bytes before `position`."""

    def next_piece(self, length: int) -> Buffer:
        """The next bytes, at most `length`; runs on a worker thread."""
        length = min(length, self.source.size_bytes - self.position)
        piece = self.source.read(self.position, length)
        self.checksum = crc64nvme(piece, self.checksum)
        self.position += length
        return piece
