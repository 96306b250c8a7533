"""Who asks the group coordinator: a client's name and host as Kafka shows them."""

from ipaddress import IPv6Address

from tierbroker.broker.api import RequestContext
from tierbroker.groups.client import Client


def client_of(context: RequestContext) -> Client:
    """The sender of the request."""
    return Client(context.client_id or "", "/" + host_text(context.peer.client_host))


def host_text(address: str) -> str:
    """The address as Java prints it: IPv6 in eight groups, without '::' (Inet6Address)."""
    if ":" not in address:
        return address
    literal, percent, scope = address.partition("%")
    parsed = IPv6Address(literal)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    packed = parsed.packed
    groups = (int.from_bytes(packed[at : at + 2]) for at in range(0, 16, 2))
    return ":".join(f"{group:x}" for group in groups) + percent + scope
