"""Files below a directory in the order of their keys, as S3 lists them: by the bytes of the key.

A directory sorts by its name with the slash behind it, or `a-b` would come on the wrong side of
`a/c`. Whole directories that cannot hold a wanted key are not read.
"""

import os
from collections.abc import Iterator


def objects_after(root: str, prefix: str, after: str | None) -> Iterator[str]:
    """Keys that begin with `prefix` and come after `after`. Names with a dot in front are none."""
    yield from _below(root, "", prefix, after)


def _below(root: str, parent: str, prefix: str, after: str | None) -> Iterator[str]:
    try:
        entries = list(os.scandir(f"{root}/{parent}"))
    except (FileNotFoundError, NotADirectoryError):
        return  # gone since its parent was read, or nothing is stored yet
    keys = []
    for entry in entries:
        if entry.name.startswith("."):
            continue
        slash = "/" if entry.is_dir() else ""
        keys.append(f"{parent}{entry.name}{slash}")
    keys.sort(key=str.encode)
    for key in keys:
        if key.endswith("/"):
            may_match = key.startswith(prefix) or prefix.startswith(key)
            # All that is below begins with `key`: it is past when `after` is past that.
            past = after is not None and not after.startswith(key) and key.encode() < after.encode()
            if may_match and not past:
                yield from _below(root, key, prefix, after)
        elif key.startswith(prefix) and (after is None or key.encode() > after.encode()):
            yield key
