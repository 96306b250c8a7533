"""Addresses of brokers as a person types them. Pure text: nothing here opens a socket."""

from dataclasses import dataclass

DEFAULT_PORT = 9092
DEFAULT_BOOTSTRAP = f"127.0.0.1:{DEFAULT_PORT}"


class InvalidBootstrapError(ValueError):
    """The text is not HOST[:PORT][,HOST[:PORT]...]; the message says which part is wrong."""


@dataclass(frozen=True, slots=True)
class Address:
    """One host and port. An IPv6 host has no brackets here."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """One or several addresses of one cluster; any of them is enough."""

    addresses: tuple[Address, ...]

    def __str__(self) -> str:
        return ",".join(str(address) for address in self.addresses)

    @classmethod
    def parse(cls, text: str) -> "Bootstrap":
        """Parse HOST[:PORT] separated by commas; the port is 9092 unless given.

        Raises InvalidBootstrapError.
        """
        parts = [part.strip() for part in text.split(",")]
        return cls(tuple(_parse_address(part) for part in parts if part) or _nothing(text))


def _nothing(text: str) -> tuple[Address, ...]:
    raise InvalidBootstrapError(f"{text!r} names no address; expected HOST:PORT")


def _parse_address(text: str) -> Address:
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise InvalidBootstrapError(f"{text!r} is not [IPV6-ADDRESS]:PORT")
        port_text = rest[1:] if rest else str(DEFAULT_PORT)
    elif text.count(":") > 1:
        raise InvalidBootstrapError(
            f"{text!r} is not HOST:PORT; write an IPv6 address in brackets, and no protocol name"
        )
    else:
        host, colon, port_text = text.partition(":")
        if not colon:
            port_text = str(DEFAULT_PORT)
    if not host:
        raise InvalidBootstrapError(f"{text!r} has no host; expected HOST:PORT")
    if not port_text.isascii() or not port_text.isdigit() or not 0 < int(port_text) < 65536:
        raise InvalidBootstrapError(
            f"{text!r} has no valid port; expected HOST:PORT with a port from 1 to 65535"
        )
    return Address(host, int(port_text))
