"""What the wire layer raises: one error for bytes that make no sense, one for impossible values."""

from tierbroker.serde.errors import DecodeError, EncodeError

__all__ = ["DecodeError", "EncodeError"]
