"""DescribeQuorum (key 55), versions 0 to 2.

Flexible from the start. v1 when a replica fetched last, and was at the log's end last. v2
directory ids, messages, and where the voters are reached (KIP-853). Only the one partition of
__cluster_metadata has a quorum; a request that asks for anything beside it is refused for all
that it asks.
"""

from tierbroker.base.errors import ApiError
from tierbroker.base.ids import ZERO_UUID
from tierbroker.broker.api import RequestContext
from tierbroker.controller.quorum_view import QuorumView, ReplicaView, view_quorum
from tierbroker.wire.error_codes import ErrorCode, code_of
from tierbroker.wire.messages.describe_quorum import (
    DescribeQuorumRequest,
    DescribeQuorumResponse,
    Listener,
    Node,
    ReplicaState,
    ResponsePartitionData,
    ResponseTopicData,
)

METADATA_TOPIC = "__cluster_metadata"
_DIRECTORIES_SINCE = 2


def handle(request: DescribeQuorumRequest, context: RequestContext) -> DescribeQuorumResponse:
    """Describe the quorum of the metadata log."""
    asked = [
        (topic.topic_name, partition.partition_index)
        for topic in request.topics
        for partition in topic.partitions
    ]
    if asked != [(METADATA_TOPIC, 0)]:
        return _refused(request)
    broker = context.broker
    try:
        view = view_quorum(broker.controller.core, broker.clock.now_ms())
    except ApiError as error:
        return DescribeQuorumResponse(
            error_code=code_of(error), error_message=error.message, topics=[], nodes=[]
        )
    tells_directories = context.api_version >= _DIRECTORIES_SINCE
    partition = ResponsePartitionData(
        leader_id=view.leader_id,
        leader_epoch=view.leader_epoch,
        high_watermark=view.high_watermark,
        current_voters=[_replica(replica, tells_directories) for replica in view.voters],
        observers=[_replica(replica, tells_directories) for replica in view.observers],
    )
    return DescribeQuorumResponse(
        topics=[ResponseTopicData(topic_name=METADATA_TOPIC, partitions=[partition])],
        nodes=_nodes(view) if tells_directories else [],
    )


def _refused(request: DescribeQuorumRequest) -> DescribeQuorumResponse:
    return DescribeQuorumResponse(
        topics=[
            ResponseTopicData(
                topic_name=topic.topic_name,
                partitions=[
                    ResponsePartitionData(
                        partition_index=partition.partition_index,
                        error_code=ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
                        error_message=f"only {METADATA_TOPIC}-0 has a quorum, and is asked alone",
                        current_voters=[],
                        observers=[],
                    )
                    for partition in topic.partitions
                ],
            )
            for topic in request.topics
        ],
        nodes=[],
    )


def _replica(replica: ReplicaView, tells_directory: bool) -> ReplicaState:
    return ReplicaState(
        replica_id=replica.node_id,
        replica_directory_id=replica.directory_id if tells_directory else ZERO_UUID,
        log_end_offset=replica.log_end_offset,
        last_fetch_timestamp=replica.last_fetch_ms,
        last_caught_up_timestamp=replica.last_caught_up_ms,
    )


def _nodes(view: QuorumView) -> list[Node]:
    return [
        Node(
            voter.key.id,
            [Listener(endpoint.name, endpoint.host, endpoint.port) for endpoint in voter.endpoints],
        )
        for voter in view.voter_set
    ]
