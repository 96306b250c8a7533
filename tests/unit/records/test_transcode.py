"""Re-encoding for a topic that has its own codec."""

import pytest

from tierbroker.base.errors import InvalidRecordError
from tierbroker.records.batch import crc_valid, read_header
from tierbroker.records.builder import build_batch
from tierbroker.records.compression import Codec
from tierbroker.records.record import Record, iterate
from tierbroker.records.transcode import CODECS, transcode

RECORDS = [Record(i, 100 + i, b"k", b"value " * 20, (("h", None),)) for i in range(5)]


@pytest.mark.parametrize("source", list(Codec))
@pytest.mark.parametrize("compression_type", list(CODECS))
def test_only_the_codec_changes(source: Codec, compression_type: str) -> None:
    batch = bytearray(
        build_batch(
            RECORDS,
            codec=source,
            producer_id=7,
            producer_epoch=2,
            base_sequence=40,
            transactional=True,
        )
    )
    before = read_header(batch)
    result = transcode(batch, before, compression_type)
    after = read_header(result)
    assert after.codec == CODECS[compression_type]
    assert crc_valid(result, 0, after)
    assert list(iterate(result)) == RECORDS
    same = {"batch_length": 0, "crc": 0, "attributes": 0}
    assert after._replace(**same) == before._replace(**same)
    assert after.transactional
    if source == CODECS[compression_type]:
        assert result is batch


def test_rubbish_is_refused() -> None:
    batch = bytearray(build_batch(RECORDS, codec=Codec.LZ4))
    batch[61] ^= 0xFF
    with pytest.raises(InvalidRecordError):
        transcode(batch, read_header(batch), "gzip")
