"""What was asked of a store: the bill of a bucket is made of these."""

from dataclasses import dataclass


@dataclass(slots=True)
class RequestCounts:
    """Requests by kind, as S3 charges for them, and what they carried. Retries are not seen."""

    puts: int = 0
    """PUT, each part of a multipart upload, its begin and its end."""
    gets: int = 0
    heads: int = 0
    lists: int = 0
    deletes: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    failures: int = 0
    """Operations that ended with an error other than "not found" and a failed condition."""
