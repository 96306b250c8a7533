"""Re-encoding a produced batch for a topic that has its own compression.type.

The one place on the produce path where records are opened, and only when the codec differs
(D-1). Offsets, timestamps, producer fields and headers stay as they were.
"""

from tierbroker.base.errors import CorruptMessageError, InvalidRecordError
from tierbroker.records.batch import BatchHeader
from tierbroker.records.builder import build_batch
from tierbroker.records.compression import Codec
from tierbroker.records.record import iterate

CODECS = {
    "uncompressed": Codec.NONE,
    "gzip": Codec.GZIP,
    "snappy": Codec.SNAPPY,
    "lz4": Codec.LZ4,
    "zstd": Codec.ZSTD,
}
"""Values of compression.type, but for "producer", which leaves batches as they are."""


def transcode(
    batch: memoryview | bytearray,
    header: BatchHeader,
    compression_type: str,
    level: int | None = None,
) -> memoryview | bytearray:
    """The batch in the topic's codec; the very same bytes when it is in that codec already.

    Raises InvalidRecordError when the records do not decompress: their CRC was right, so the
    producer made them so, and no retry would help.
    """
    codec = CODECS[compression_type]
    if header.codec == codec:
        return batch
    try:
        records = list(iterate(memoryview(batch)))
    except CorruptMessageError as error:
        raise InvalidRecordError(error.message) from error
    return bytearray(
        build_batch(
            records,
            codec=codec,
            level=level,
            base_offset=header.base_offset,
            leader_epoch=header.partition_leader_epoch,
            producer_id=header.producer_id,
            producer_epoch=header.producer_epoch,
            base_sequence=header.base_sequence,
            transactional=header.transactional,
        )
    )
