"""Records of `__consumer_offsets`: keys and values with the version that precedes each."""

from tierbroker.groups.records import group_metadata_key as _group_key
from tierbroker.groups.records import group_metadata_value as _group_value
from tierbroker.groups.records.group_metadata_key import GroupMetadataKey
from tierbroker.groups.records.group_metadata_value import GroupMetadataValue

_GROUP_VALUE_VERSION = 3


def group_metadata_key(group_id: str) -> bytes:
    """The key of a group's record."""
    return (2).to_bytes(2, "big") + _group_key.encode(GroupMetadataKey(group_id), 0)


def group_metadata_value(value: GroupMetadataValue) -> bytes:
    """The record of a group."""
    return _GROUP_VALUE_VERSION.to_bytes(2, "big") + _group_value.encode(
        value, _GROUP_VALUE_VERSION
    )
