"""`partition.metadata`: which topic, by id, a partition directory belongs to (Kafka: KIP-516)."""

import os

from tierbroker.base.fs import FileSystem, write_fully
from tierbroker.base.ids import Uuid, parse_uuid, uuid_text
from tierbroker.hot.file_names import PARTITION_METADATA_FILE, TEMPORARY_SUFFIX

_VERSION = 0


def read_topic_id(fs: FileSystem, directory: str) -> Uuid | None:
    """The topic id of the directory, None when the file is missing or unreadable.

    A crash right after the directory was made can leave it empty: nothing was acknowledged then.
    """
    path = f"{directory}/{PARTITION_METADATA_FILE}"
    if not fs.exists(path):
        return None
    fields: dict[str, str] = {}
    for line in fs.read_file(path).decode("utf-8", "replace").splitlines():
        name, _, value = line.partition(":")
        fields[name.strip()] = value.strip()
    if fields.get("version") != str(_VERSION):
        return None
    try:
        return parse_uuid(fields.get("topic_id", ""))
    except ValueError:
        return None


def write_topic_id(fs: FileSystem, directory: str, topic_id: Uuid) -> str:
    """Write the file, which the next flush must cover; answers its path. Raises OSError."""
    path = f"{directory}/{PARTITION_METADATA_FILE}"
    temporary = path + TEMPORARY_SUFFIX
    fd = fs.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC)
    try:
        content = f"version: {_VERSION}\ntopic_id: {uuid_text(topic_id)}\n"
        write_fully(fs, fd, content.encode(), 0)
    finally:
        fs.close(fd)
    fs.rename(temporary, path)
    return path
