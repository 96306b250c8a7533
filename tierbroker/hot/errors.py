"""Faults of the local log that a person must see. A client never meets one of them as it is."""


class CorruptLogError(Exception):
    """The log holds damage that cutting the end off would turn into loss (INV-11).

    The partition must stay offline. The message names the file, the byte and the reason.
    """

    def __init__(self, path: str, position: int, reason: str) -> None:
        super().__init__(f"{path} is damaged at byte {position}: {reason}")
        self.path = path
        self.position = position
        self.reason = reason
