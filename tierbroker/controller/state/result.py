"""What a decider answers: the records to write and, once they are committed, the response."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

R_co = TypeVar("R_co", covariant=True)

MetadataRecord = Any
"""An instance of one of the generated classes of `controller.records`."""


@dataclass(frozen=True, slots=True)
class Result(Generic[R_co]):
    """Records that take effect together, or not at all, and what to tell the caller then.

    The pattern is Kafka's ControllerResult. No records means a read: the response still waits
    until everything that the decider could see is committed.
    """

    records: tuple[MetadataRecord, ...]
    response: R_co
    atomic: bool = True
    """False: so many records that they may be written, and be seen, in several parts."""
