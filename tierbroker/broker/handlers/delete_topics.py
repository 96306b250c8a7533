"""DeleteTopics (key 20), versions 1 to 6.

v4 flexible. v5 error messages. v6 topics by id. Answered when the topics are gone from the
metadata; their files are removed a little later.
"""

from tierbroker.base.errors import ApiError, TopicDeletionDisabledError
from tierbroker.base.ids import Uuid
from tierbroker.broker.api import RequestContext
from tierbroker.controller.state.topics import DeleteOutcome, TopicRef, delete_topics
from tierbroker.wire.error_codes import code_and_message
from tierbroker.wire.messages.delete_topics import (
    DeletableTopicResult,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
)

_BY_ID_SINCE = 6


async def handle(request: DeleteTopicsRequest, context: RequestContext) -> DeleteTopicsResponse:
    """Delete each topic, or say why not."""
    broker = context.broker
    if context.api_version >= _BY_ID_SINCE:
        asked = [TopicRef(topic.name, Uuid(bytes(topic.topic_id))) for topic in request.topics]
    else:
        asked = [TopicRef(name) for name in request.topic_names]
    try:
        if not broker.values.flag("delete.topic.enable"):
            raise TopicDeletionDisabledError("delete.topic.enable is false")
        outcomes = await broker.controller.submit(lambda image: delete_topics(image, asked))
    except ApiError as error:
        outcomes = [DeleteOutcome(topic.name, topic.topic_id, error) for topic in asked]
    return DeleteTopicsResponse(
        responses=[
            DeletableTopicResult(outcome.name, outcome.topic_id, *code_and_message(outcome.error))
            for outcome in outcomes
        ]
    )
