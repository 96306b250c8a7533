"""Errors that cross package borders.

`ApiError` has one subclass for each Kafka error that the broker answers, named like Kafka's
exception. The numbers live in `wire.error_codes` alone: nothing below the wire knows them.
"""

from typing import ClassVar

MESSAGE_LENGTH_MAX = 1000
"""Characters. Messages quote what clients sent, and travel with a two-byte length."""


class ApiError(Exception):
    """A request, or one item of it, fails with a Kafka error; the text is for the client's log."""

    retriable: ClassVar[bool] = False

    def __init__(self, message: str = "") -> None:
        if len(message) > MESSAGE_LENGTH_MAX:
            message = f"{message[: MESSAGE_LENGTH_MAX - 1]}…"
        super().__init__(message)
        self.message = message


class UnknownServerError(ApiError):
    """The broker met a condition that it cannot name."""


class OffsetOutOfRangeError(ApiError):
    """The offset is below the log start or above the log end."""


class CorruptMessageError(ApiError):
    """A batch fails its CRC, has an impossible size, or does not decompress."""

    retriable = True


class UnknownTopicOrPartitionError(ApiError):
    """This broker does not host that partition."""

    retriable = True


class LeaderNotAvailableError(ApiError):
    """The partition has no leader at the moment."""

    retriable = True


class NotLeaderOrFollowerError(ApiError):
    """This broker is not the leader of the partition."""

    retriable = True


class RequestTimedOutError(ApiError):
    """The request's own time limit passed."""

    retriable = True


class BrokerNotAvailableError(ApiError):
    """The broker is not available."""


class MessageTooLargeError(ApiError):
    """A batch is larger than max.message.bytes, or inflates beyond the broker's limit."""


class OffsetMetadataTooLargeError(ApiError):
    """A committed offset carries more metadata than offset.metadata.max.bytes."""


class CoordinatorNotAvailableError(ApiError):
    """No coordinator serves this key."""

    retriable = True


class NotCoordinatorError(ApiError):
    """Another broker coordinates this key."""

    retriable = True


class InvalidTopicError(ApiError):
    """The topic name is illegal."""


class RecordListTooLargeError(ApiError):
    """A batch is larger than a segment may be."""


class NotEnoughReplicasError(ApiError):
    """Fewer in-sync replicas than min.insync.replicas; nothing was appended."""

    retriable = True


class NotEnoughReplicasAfterAppendError(ApiError):
    """The in-sync replicas fell below min.insync.replicas after the append."""

    retriable = True


class InvalidRequiredAcksError(ApiError):
    """acks is not -1, 0 or 1."""


class InvalidGroupIdError(ApiError):
    """The group id is empty or illegal."""


class TopicAuthorizationFailedError(ApiError):
    """The principal may not do this with the topic."""


class InvalidTimestampError(ApiError):
    """A timestamp is too far from the broker's clock."""


class UnsupportedSaslMechanismError(ApiError):
    """The mechanism is not enabled."""


class UnsupportedVersionError(ApiError):
    """The broker does not speak this version of the API."""


class TopicAlreadyExistsError(ApiError):
    """A topic of that name exists."""


class InvalidPartitionsError(ApiError):
    """The number of partitions is illegal."""


class InvalidReplicationFactorError(ApiError):
    """The replication factor is illegal or exceeds the brokers there are."""


class InvalidReplicaAssignmentError(ApiError):
    """The manual replica assignment is illegal."""


class InvalidConfigError(ApiError):
    """A configuration key or value is illegal."""


class NotControllerError(ApiError):
    """This node is not the active controller."""

    retriable = True


class InvalidRequestError(ApiError):
    """The request contradicts itself."""


class UnsupportedForMessageFormatError(ApiError):
    """The message format of the records does not support the request."""


class PolicyViolationError(ApiError):
    """The request breaks a policy of this broker."""


class OutOfOrderSequenceNumberError(ApiError):
    """A producer's sequence number does not follow the one before."""


class DuplicateSequenceNumberError(ApiError):
    """A producer repeats a batch older than the ones remembered."""


class InvalidProducerEpochError(ApiError):
    """The producer's epoch is older than the current one."""


class InvalidTxnStateError(ApiError):
    """The transaction is in a state that forbids the request."""


class InvalidProducerIdMappingError(ApiError):
    """The producer id does not belong to the transactional id."""


class TransactionCoordinatorFencedError(ApiError):
    """A coordinator that has been replaced wrote a marker."""


class TransactionalIdAuthorizationFailedError(ApiError):
    """The principal may not use this transactional id."""


class OperationNotAttemptedError(ApiError):
    """An earlier item of the batch failed, so this one was not tried."""


class KafkaStorageError(ApiError):
    """The disk refused; the client may try again."""

    retriable = True


class LogDirNotFoundError(ApiError):
    """The named log directory is not one of this broker's."""


class UnknownProducerIdError(ApiError):
    """The broker has no state of this producer."""


class FetchSessionIdNotFoundError(ApiError):
    """No fetch session has this id."""

    retriable = True


class InvalidFetchSessionEpochError(ApiError):
    """The epoch of the fetch session is not the one expected."""

    retriable = True


class FetchSessionTopicIdError(ApiError):
    """A fetch session was opened with topic ids and is continued without, or the reverse."""

    retriable = True


class ListenerNotFoundError(ApiError):
    """The leader has no listener of the name the request came through."""

    retriable = True


class TopicDeletionDisabledError(ApiError):
    """delete.topic.enable is false."""


class FencedLeaderEpochError(ApiError):
    """The client's leader epoch is older than the broker's."""

    retriable = True


class UnknownLeaderEpochError(ApiError):
    """The client's leader epoch is newer than the broker's."""

    retriable = True


class UnsupportedCompressionTypeError(ApiError):
    """The codec is unknown, or not allowed in this version of the API."""


class StaleBrokerEpochError(ApiError):
    """The broker epoch of the request is not the registered one."""


class OffsetNotAvailableError(ApiError):
    """A new leader does not know its high watermark yet."""

    retriable = True


class PreferredLeaderNotAvailableError(ApiError):
    """The first replica of the partition cannot lead now."""

    retriable = True


class EligibleLeadersNotAvailableError(ApiError):
    """No replica of the partition can lead now."""

    retriable = True


class ElectionNotNeededError(ApiError):
    """The partition has the leader that an election would give it."""

    retriable = True


class NoReassignmentInProgressError(ApiError):
    """No reassignment is under way for that partition."""


class InvalidRecordError(ApiError):
    """A record breaks a rule of the topic, or a batch a rule of the format.

    `record_errors` names the records at fault: (index in the batch, what is wrong), see KIP-467.
    """

    def __init__(self, message: str = "", record_errors: tuple[tuple[int, str], ...] = ()) -> None:
        super().__init__(message)
        self.record_errors = record_errors


class ResourceNotFoundError(ApiError):
    """The described resource does not exist."""


class DuplicateResourceError(ApiError):
    """The request names one resource twice."""


class BrokerIdNotRegisteredError(ApiError):
    """No broker of that id is registered."""


class DuplicateBrokerRegistrationError(ApiError):
    """Another live process is registered under this broker id."""


class InconsistentTopicIdError(ApiError):
    """The topic id of the log differs from the request's."""

    retriable = True


class UnknownTopicIdError(ApiError):
    """No topic has this id."""

    retriable = True


class InconsistentClusterIdError(ApiError):
    """The request is meant for another cluster."""


class InvalidUpdateVersionError(ApiError):
    """The update was made against an older version of the state."""


class FeatureUpdateFailedError(ApiError):
    """The feature cannot be set to that level."""


class UnsupportedEndpointTypeError(ApiError):
    """The endpoint type of the request is unknown."""


class MismatchedEndpointTypeError(ApiError):
    """The request asks brokers for controllers, or the other way round."""


class DataDirError(Exception):
    """The data directory cannot be used: the message says what, why, and the next step."""


class ListenError(Exception):
    """A listener cannot be opened: the message names the address, the reason and the next step."""


class CloseConnection(Exception):
    """The connection is to be closed once earlier answers are sent."""
