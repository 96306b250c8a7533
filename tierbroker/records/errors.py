"""Faults of side files.

They are for the log loader, which rebuilds the file; a client never sees one, so none of them is
an `ApiError`.
"""


class CorruptSnapshotError(Exception):
    """A producer snapshot has a wrong version, size or checksum."""


class CorruptIndexError(Exception):
    """An offset, time or transaction index breaks its own format."""


class CorruptCheckpointError(Exception):
    """A text checkpoint (recovery point, log start, leader epochs) cannot be read."""
