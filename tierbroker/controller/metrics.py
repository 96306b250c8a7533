"""Metrics of the metadata log."""

from tierbroker.base.metrics import Samples, gauge
from tierbroker.controller.state.image import MetadataImage

TOPICS = gauge("metadata_topics", "Topics of the cluster.")
OFFSET = gauge("metadata_offset", "The last metadata record that counts.")

METRICS = (TOPICS, OFFSET)


def samples(image: MetadataImage) -> Samples:
    """The cluster as its metadata says."""
    yield TOPICS.at(len(image.topics.by_name))
    yield OFFSET.at(image.offset)
