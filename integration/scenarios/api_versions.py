"""ApiVersions: what is advertised, and how a client that knows other versions is helped on."""

import struct
from typing import Any

from integration.differential.messages import as_plain
from integration.differential.script import Run, since, until
from tests.broker.wire_client import WireClient, encode_header, framed
from tierbroker.wire import messages
from tierbroker.wire.api_keys import ApiKey as Api

FUTURE = 99


def advertised(run: Run) -> None:
    """At every version: the APIs, and the features that are final."""
    client = run.connect()
    client.call(Api.API_VERSIONS, until(2))
    client.call(
        Api.API_VERSIONS, since(3), client_software_name="script", client_software_version="1.0"
    )


def names_of_clients(run: Run) -> None:
    """From version 3 on clients say what they are, in letters that are allowed."""
    client = run.connect()
    for name, version in (
        ("", "1.0"),
        ("script", ""),
        ("a b", "1.0"),
        ("-script", "1.0"),
        ("script-", "1.0"),
        ("script", "1 0"),
        ("ü", "1"),
    ):
        run.note(f"{name!r} {version!r}")
        client.call(
            Api.API_VERSIONS,
            since(3),
            client_software_name=name,
            client_software_version=version,
        )


def _first_answer(wire: WireClient) -> Any:
    """An answer to ApiVersions in the form of version 0."""
    frame = wire.receive_frame()
    (number,) = struct.unpack_from(">i", frame)
    assert number == 7, frame.hex()
    answer, end = messages.load(Api.API_VERSIONS).decode_response(frame, 4, 0)
    plain = as_plain(answer)
    return {
        "error_code": plain["error_code"],
        "api_keys": plain["api_keys"],
        "left": len(frame) - end,
    }


def unknown_versions(run: Run) -> None:
    """A version of the future is answered with version 0, other APIs close the connection."""
    client = run.connect()
    for version in (5, FUTURE, -1):
        for body in (b"", b"\x00" * 20):
            frame = encode_header(Api.API_VERSIONS, version, 7) + body
            client.send_bytes(
                f"ApiVersions v{version}, {len(body)} bytes", framed(frame), _first_answer
            )
    for key, version in ((Api.METADATA, FUTURE), (Api.PRODUCE, 2), (Api.FETCH, 3), (999, 0)):
        frame = encode_header(key, version, 7) + b"\x00" * 20
        client.send_bytes(f"API {int(key)} v{version}", framed(frame), _first_answer)
    run.note("APIs that no broker has any more")
    for key in (4, 5, 6, 7):
        frame = encode_header(key, 0, 7) + b"\x00" * 20
        client.send_bytes(f"API {key} v0", framed(frame), _first_answer)
