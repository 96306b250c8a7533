"""What the broker remembers about one connection."""


class Session:
    """State between the requests of a connection; made with its first request."""

    __slots__ = ("client_software_name", "client_software_version")

    def __init__(self) -> None:
        self.client_software_name = "unknown"
        self.client_software_version = "unknown"
