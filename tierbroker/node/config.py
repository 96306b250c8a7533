"""Keys of the node itself: who it is and how it keeps its metadata."""

from tierbroker.base.config import ConfigKey, ConfigType, between

NODE_KEYS: tuple[ConfigKey, ...] = (
    ConfigKey(
        "node.id", ConfigType.INT, "1", "Id of this broker in its cluster.", validate=between(0)
    ),
    ConfigKey(
        "cluster.id",
        ConfigType.STRING,
        None,
        "Id of the cluster, 22 characters of url-safe base64. Made up when the data directory is "
        "new and this is not set; a directory of another cluster is refused.",
    ),
    ConfigKey("broker.rack", ConfigType.STRING, None, "Rack or zone that clients are told of."),
    ConfigKey(
        "metadata.log.max.record.bytes.between.snapshots",
        ConfigType.LONG,
        "20971520",
        "Bytes of metadata records after which a new snapshot is written.",
        validate=between(1),
    ),
    ConfigKey(
        "background.threads",
        ConfigType.INT,
        "4",
        "Threads for flushes, cold reads from disk and other calls that may block.",
        validate=between(1),
    ),
)
