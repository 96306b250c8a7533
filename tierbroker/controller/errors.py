"""What can be wrong with the metadata log itself."""


class MetadataCorruptError(Exception):
    """The metadata log or a snapshot contradicts itself; the message says where."""
