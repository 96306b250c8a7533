"""DescribeCluster (key 60), versions 0 to 2.

v1 endpoint type (KIP-919). v2 fenced brokers. Asked for controllers, a broker answers
MISMATCHED_ENDPOINT_TYPE.
"""

from tierbroker.broker.api import RequestContext
from tierbroker.broker.operations import CLUSTER_OPERATIONS, NOT_REQUESTED
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.describe_cluster import (
    DescribeClusterBroker,
    DescribeClusterRequest,
    DescribeClusterResponse,
)

_BROKERS = 1
_CONTROLLERS = 2


def handle(request: DescribeClusterRequest, context: RequestContext) -> DescribeClusterResponse:
    """List the brokers that clients of this listener can reach."""
    broker = context.broker
    if request.endpoint_type != _BROKERS:
        error = (
            ErrorCode.MISMATCHED_ENDPOINT_TYPE
            if request.endpoint_type == _CONTROLLERS
            else ErrorCode.UNSUPPORTED_ENDPOINT_TYPE
        )
        return DescribeClusterResponse(
            error_code=error,
            error_message="this listener answers for brokers (endpoint type 1)",
            endpoint_type=_BROKERS,
        )
    listener = context.peer.listener_name
    return DescribeClusterResponse(
        endpoint_type=_BROKERS,
        cluster_id=broker.cluster_id,
        controller_id=broker.broker_id,
        brokers=[
            DescribeClusterBroker(
                broker_id=entry.broker_id,
                host=endpoint.host,
                port=endpoint.port,
                rack=entry.rack,
                is_fenced=entry.fenced,
            )
            for entry in broker.image.brokers.values()
            if (request.include_fenced_brokers or not entry.fenced)
            and (endpoint := entry.endpoint(listener)) is not None
        ],
        cluster_authorized_operations=(
            CLUSTER_OPERATIONS if request.include_cluster_authorized_operations else NOT_REQUESTED
        ),
    )
