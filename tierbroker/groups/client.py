"""Who sends: what the group protocol keeps about the client behind a member."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Client:
    """The sender of a JoinGroup, as DescribeGroups will show it."""

    client_id: str
    host: str
    """As Kafka shows it: "/127.0.0.1"."""
