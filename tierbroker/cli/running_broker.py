"""The broker that serves a data directory of this machine, asked for what only it knows.

How it was started is in no file; the transactional ids of producers are its coordinator's. A
broker is taken for the one of a directory by cluster id and node id, never by its address.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tierbroker.base.fs import FileSystem
from tierbroker.cli.bootstrap import Address, Bootstrap
from tierbroker.cli.raw_client import connected
from tierbroker.hot.config_origin import ConfigSource
from tierbroker.hot.meta_properties import (
    META_PROPERTIES_FILE,
    InvalidMetaPropertiesError,
    MetaProperties,
    decode_meta_properties,
)
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
)
from tierbroker.wire.messages.describe_log_dirs import DescribeLogDirsRequest
from tierbroker.wire.messages.list_transactions import ListTransactionsRequest
from tierbroker.wire.messages.metadata import MetadataRequest

_BROKER = 4
"""The kind of resource whose settings are asked for."""


@dataclass(frozen=True, slots=True)
class RunningBroker:
    """One broker of a cluster that answers."""

    address: Address
    dirs: tuple[str, ...]
    """Its data directories, as far as they are on this machine and really its own."""
    texts: Mapping[str, str]
    """What is set for it, by key; no defaults, and nothing secret."""
    others: tuple[Address, ...] = field(default=())
    """All brokers of the cluster."""

    def transactional_ids(self, producer_ids: Sequence[int]) -> dict[int, str]:
        """The names of the producers that have one; UnreachableError, CommandFailedError."""
        found: dict[int, str] = {}
        request = ListTransactionsRequest(producer_id_filters=list(producer_ids))
        for address in self.others:
            with connected(Bootstrap((address,))) as client:
                answer = client.call(request, 0)
            found |= {each.producer_id: each.transactional_id for each in answer.transaction_states}
        return found


def broker_of(fs: FileSystem, bootstrap: Bootstrap, dirs: Sequence[str]) -> RunningBroker | None:
    """The broker of the cluster that serves one of `dirs`; without any, one of this machine.

    None when the cluster has no such broker. Raises UnreachableError when none answers.
    """
    with connected(bootstrap) as client:
        cluster = client.call(MetadataRequest(topics=[]), 9)
    addresses = tuple(Address(each.host, each.port) for each in cluster.brokers)
    wanted = {
        each.node_id for each in _identities(fs, dirs) if each.cluster_id == cluster.cluster_id
    }
    for broker, address in zip(cluster.brokers, addresses, strict=True):
        if dirs and broker.node_id not in wanted:
            continue
        with connected(Bootstrap((address,))) as client:
            told = client.call(DescribeLogDirsRequest(topics=None), 4)
            own = _own_dirs(
                fs, [each.log_dir for each in told.results], cluster.cluster_id, broker.node_id
            )
            if not own and not dirs:
                continue
            resource = DescribeConfigsResource(_BROKER, str(broker.node_id), None)
            configs = client.call(DescribeConfigsRequest([resource]), 4).results[0]
        texts = {
            each.name: each.value
            for each in configs.configs
            if each.config_source != ConfigSource.DEFAULT_CONFIG and each.value is not None
        }
        if configs.error_code == ErrorCode.NONE:
            return RunningBroker(address, tuple(own), texts, addresses)
    return None


def _own_dirs(fs: FileSystem, dirs: Iterable[str], cluster_id: str, node_id: int) -> list[str]:
    """The same path may be another directory, where the broker runs elsewhere."""
    return [
        path
        for path in dirs
        for found in _identities(fs, [path])
        if (found.cluster_id, found.node_id) == (cluster_id, node_id)
    ]


def _identities(fs: FileSystem, dirs: Iterable[str]) -> list[MetaProperties]:
    found = []
    for path in dirs:
        try:
            found.append(decode_meta_properties(fs.read_file(f"{path}/{META_PROPERTIES_FILE}")))
        except (OSError, InvalidMetaPropertiesError):
            # Not a data directory (any more), so no broker's.
            continue
    return found
