"""CreateTopics (key 19), versions 2 to 7.

v4 -1 for the default partitions and replicas. v5 flexible, the settings of the new topic. v7
topic ids. Answered when the topic can be used: its metadata is durable and its logs exist.
"""

from tierbroker.base.errors import ApiError
from tierbroker.broker.api import RequestContext
from tierbroker.controller.state.topics import NewTopic, TopicOutcome, create_topics
from tierbroker.wire.error_codes import ErrorCode, code_of
from tierbroker.wire.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfigs,
    CreatableTopicResult,
    CreateTopicsRequest,
    CreateTopicsResponse,
)


async def handle(request: CreateTopicsRequest, context: RequestContext) -> CreateTopicsResponse:
    """Create each topic, or say why not."""
    broker = context.broker
    asked = [_new_topic(topic) for topic in request.topics]
    try:
        outcomes = await broker.controller.submit(
            lambda image: create_topics(
                image, asked, broker.environment, validate_only=request.validate_only
            )
        )
    except ApiError as error:
        outcomes = [TopicOutcome(topic.name, error) for topic in asked]
    return CreateTopicsResponse(topics=[_result(outcome, context) for outcome in outcomes])


def _new_topic(topic: CreatableTopic) -> NewTopic:
    return NewTopic(
        name=topic.name,
        num_partitions=topic.num_partitions,
        replication_factor=topic.replication_factor,
        assignments=tuple(
            (assignment.partition_index, tuple(assignment.broker_ids))
            for assignment in topic.assignments
        ),
        configs=tuple((config.name, config.value) for config in topic.configs),
    )


def _result(outcome: TopicOutcome, context: RequestContext) -> CreatableTopicResult:
    result = CreatableTopicResult(name=outcome.name, error_message=None)
    if outcome.error is not None:
        result.error_code = code_of(outcome.error)
        result.error_message = outcome.error.message
        return result
    assert outcome.created is not None
    created = outcome.created
    result.error_code = ErrorCode.NONE
    result.topic_id = created.topic_id
    result.num_partitions = created.num_partitions
    result.replication_factor = created.replication_factor
    result.configs = [
        CreatableTopicConfigs(
            name=origin.key.name,
            # Kafka tells what was asked for here as it was written.
            value=None
            if origin.key.sensitive
            else created.configs.get(origin.key.name, origin.text),
            read_only=False,
            config_source=origin.source,
            is_sensitive=origin.key.sensitive,
        )
        for origin in context.broker.topic_configs.explain(created.configs)
    ]
    return result
