"""The metadata of a data directory, read without opening it: for tools, beside a running broker.

Read-only, so it locks and repairs nothing; the last changes of a running broker may be missed.
"""

import re

from tierbroker.base.fs import FileSystem
from tierbroker.controller.raft.batches import open_batches
from tierbroker.controller.state.codec import decode_record
from tierbroker.controller.state.delta import MetadataDelta
from tierbroker.controller.state.image import MetadataImage
from tierbroker.controller.state.replay import Replayer
from tierbroker.hot.file_names import LOG_SUFFIX, parse_offset_file
from tierbroker.replication.metadata_log import metadata_directory

_SNAPSHOT_NAME = re.compile(r"(\d{20})-(\d{10})\.checkpoint")


def holds_metadata(fs: FileSystem, log_dir: str) -> bool:
    """Whether this log directory is the one with the metadata log."""
    return fs.exists(metadata_directory(log_dir))


def read_metadata(fs: FileSystem, log_dir: str) -> MetadataImage:
    """The image of the last snapshot and the log behind it.

    Raises OSError, and MetadataCorruptError where a batch is damaged.
    """
    directory = metadata_directory(log_dir)
    names = fs.listdir(directory)
    image = MetadataImage()
    snapshots = sorted(name for name in names if _SNAPSHOT_NAME.fullmatch(name))
    if snapshots:
        path = f"{directory}/{snapshots[-1]}"
        delta = MetadataDelta(image)
        for batch in open_batches(fs.read_file(path), path):
            for value in batch.values:
                delta.replay(decode_record(value))
        offset, epoch = (int(part) for part in snapshots[-1].split(".")[0].split("-"))
        image, _ = delta.finish(offset - 1, epoch)
    replayer = Replayer(image)
    first_offset = image.offset + 1
    for name in sorted(names):
        parsed = parse_offset_file(name)
        if parsed is None or parsed.suffix != LOG_SUFFIX:
            continue
        path = f"{directory}/{name}"
        for batch in open_batches(fs.read_file(path), path):
            epoch = batch.header.partition_leader_epoch
            for offset, value in enumerate(batch.values, batch.header.base_offset):
                if offset >= first_offset:
                    replayer.replay(decode_record(value), offset, epoch)
            images = replayer.take(batch.header.last_offset, epoch)
            if images:
                image = images[-1][0]
    return image
