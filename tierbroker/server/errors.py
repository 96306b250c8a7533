"""What can go wrong with one connection. Never with the server."""


class TruncatedSliceError(Exception):
    """A file ended before the slice of it that was to be sent: the answer cannot be completed."""
