"""The one list of APIs that this broker answers.

ApiVersions, dispatch, `tierbroker apis` and docs/apis.md all derive from it. Ranges are those of
Kafka 4.3. Produce starts at 0 although versions 0 to 2 are refused: librdkafka before 2.11 stops
compressing when it is not (KAFKA-18659).
"""

from tierbroker.broker.api import ApiSpec
from tierbroker.wire.api_keys import ApiKey

SPECS: tuple[ApiSpec, ...] = (
    ApiSpec(ApiKey.PRODUCE, 0, 13),
    ApiSpec(ApiKey.FETCH, 4, 18),
    ApiSpec(ApiKey.LIST_OFFSETS, 1, 11),
    ApiSpec(ApiKey.METADATA, 0, 13),
    ApiSpec(ApiKey.OFFSET_COMMIT, 2, 10),
    ApiSpec(ApiKey.OFFSET_FETCH, 1, 10),
    ApiSpec(ApiKey.FIND_COORDINATOR, 0, 6),
    ApiSpec(ApiKey.JOIN_GROUP, 0, 9),
    ApiSpec(ApiKey.HEARTBEAT, 0, 4),
    ApiSpec(ApiKey.LEAVE_GROUP, 0, 5),
    ApiSpec(ApiKey.SYNC_GROUP, 0, 5),
    ApiSpec(ApiKey.DESCRIBE_GROUPS, 0, 6),
    ApiSpec(ApiKey.LIST_GROUPS, 0, 5),
    ApiSpec(ApiKey.API_VERSIONS, 0, 4),
    ApiSpec(ApiKey.CREATE_TOPICS, 2, 7),
    ApiSpec(ApiKey.DELETE_TOPICS, 1, 6),
    ApiSpec(ApiKey.DELETE_RECORDS, 0, 2),
    ApiSpec(ApiKey.INIT_PRODUCER_ID, 0, 5),
    ApiSpec(ApiKey.OFFSET_FOR_LEADER_EPOCH, 2, 4),
    ApiSpec(ApiKey.ADD_PARTITIONS_TO_TXN, 0, 5),
    ApiSpec(ApiKey.ADD_OFFSETS_TO_TXN, 0, 4),
    ApiSpec(ApiKey.END_TXN, 0, 5),
    ApiSpec(ApiKey.WRITE_TXN_MARKERS, 1, 2),
    ApiSpec(ApiKey.TXN_OFFSET_COMMIT, 0, 5),
    ApiSpec(ApiKey.DESCRIBE_CONFIGS, 1, 4),
    ApiSpec(ApiKey.ALTER_CONFIGS, 0, 2),
    ApiSpec(ApiKey.ALTER_REPLICA_LOG_DIRS, 1, 2),
    ApiSpec(ApiKey.DESCRIBE_LOG_DIRS, 1, 5),
    ApiSpec(ApiKey.CREATE_PARTITIONS, 0, 3),
    ApiSpec(ApiKey.DELETE_GROUPS, 0, 2),
    ApiSpec(ApiKey.ELECT_LEADERS, 0, 2),
    ApiSpec(ApiKey.INCREMENTAL_ALTER_CONFIGS, 0, 1),
    ApiSpec(ApiKey.ALTER_PARTITION_REASSIGNMENTS, 0, 1),
    ApiSpec(ApiKey.LIST_PARTITION_REASSIGNMENTS, 0, 0),
    ApiSpec(ApiKey.OFFSET_DELETE, 0, 0),
    ApiSpec(ApiKey.DESCRIBE_QUORUM, 0, 2),
    ApiSpec(ApiKey.UPDATE_FEATURES, 0, 2),
    ApiSpec(ApiKey.DESCRIBE_CLUSTER, 0, 2),
    ApiSpec(ApiKey.DESCRIBE_PRODUCERS, 0, 0),
    ApiSpec(ApiKey.DESCRIBE_TRANSACTIONS, 0, 0),
    ApiSpec(ApiKey.LIST_TRANSACTIONS, 0, 2),
    ApiSpec(ApiKey.LIST_CONFIG_RESOURCES, 0, 1),
    ApiSpec(ApiKey.DESCRIBE_TOPIC_PARTITIONS, 0, 0),
)
