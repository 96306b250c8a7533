"""Records of a cluster's cold tier as Python values, read with no broker running.

    from tierbroker.archive import open_archive

    with open_archive("s3://bucket/prefix") as archive:
        for record in archive.records("orders"):
            print(record.partition, record.offset, record.value)

What a broker has not uploaded yet is not in there.
"""

from tierbroker.archive.session import ArchivedRecord, ArchiveSession, open_archive

__all__ = ["ArchiveSession", "ArchivedRecord", "open_archive"]
