"""What reading and writing bytes can raise."""


class DecodeError(ValueError):
    """The bytes are not what they should be; the only error that decoding raises."""


class EncodeError(ValueError):
    """The value cannot be written: it does not fit its field, or the version lacks the field."""
