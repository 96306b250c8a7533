"""ElectLeaders (key 43), versions 0 to 2.

v1 the type of election (KIP-460), a top-level error. v2 flexible. No topics means all partitions,
of which only those that need an election are told. A partition that has the leader it should have
answers ELECTION_NOT_NEEDED.
"""

from collections.abc import Iterable

from tierbroker.base.errors import ApiError, RequestTimedOutError
from tierbroker.base.ids import TopicPartition
from tierbroker.broker.api import RequestContext
from tierbroker.controller.state.elections import ElectionOutcome, elect_leaders
from tierbroker.controller.state.image import TopicImage
from tierbroker.wire.error_codes import code_and_message, code_of
from tierbroker.wire.messages.elect_leaders import (
    ElectLeadersRequest,
    ElectLeadersResponse,
    PartitionResult,
    ReplicaElectionResult,
    TopicPartitions,
)

_ERROR_SINCE = 1


async def handle(request: ElectLeadersRequest, context: RequestContext) -> ElectLeadersResponse:
    """Elect a leader for each partition, or say why not."""
    broker = context.broker
    asked = request.topic_partitions
    places = None if asked is None else _places(asked)
    error: ApiError | None = None
    try:
        if request.timeout_ms <= 0:
            raise RequestTimedOutError("the request leaves no time for an election")
        outcomes = await broker.controller.submit(
            lambda image: elect_leaders(image, request.election_type, places)
        )
    except ApiError as failure:
        error = failure
        outcomes = [ElectionOutcome(place, error) for place in places or ()]
    if asked is not None:
        results = _results_of(asked, outcomes)
    else:
        results = _results_by_topic([] if error else broker.image.topics, outcomes)
    response = ElectLeadersResponse(replica_election_results=results)
    if error is not None and context.api_version >= _ERROR_SINCE:
        response.error_code = code_of(error)
    return response


def _places(asked: list[TopicPartitions]) -> list[TopicPartition]:
    return [TopicPartition(topic.topic, number) for topic in asked for number in topic.partitions]


def _results_of(
    asked: list[TopicPartitions], outcomes: list[ElectionOutcome]
) -> list[ReplicaElectionResult]:
    """The outcomes, which are in the order of the request, under its topics."""
    each = iter(outcomes)
    return [
        ReplicaElectionResult(
            topic=topic.topic, partition_result=[_result(next(each)) for _ in topic.partitions]
        )
        for topic in asked
    ]


def _results_by_topic(
    topics: Iterable[TopicImage], outcomes: list[ElectionOutcome]
) -> list[ReplicaElectionResult]:
    """All topics, as Kafka lists them, also those of which there is nothing to tell."""
    by_topic: dict[str, list[PartitionResult]] = {topic.name: [] for topic in topics}
    for outcome in outcomes:
        by_topic.setdefault(outcome.place.topic, []).append(_result(outcome))
    return [
        ReplicaElectionResult(topic=name, partition_result=results)
        for name, results in by_topic.items()
    ]


def _result(outcome: ElectionOutcome) -> PartitionResult:
    return PartitionResult(outcome.place.partition, *code_and_message(outcome.error))
