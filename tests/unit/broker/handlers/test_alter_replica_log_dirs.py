"""The handler of AlterReplicaLogDirs: replicas stay where they are."""

import pathlib
from types import SimpleNamespace

import pytest

from tests.handler_bench import HandlerBench
from tierbroker.broker.handlers import alter_replica_log_dirs
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.alter_replica_log_dirs import (
    AlterReplicaLogDir,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirTopic,
)


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> HandlerBench:
    """t-0 lies in the first of three directories, of which the third is broken."""
    made = HandlerBench(tmp_path)
    made.log_dirs += [
        SimpleNamespace(path=path, offline=path == "/broken")
        for path in ("/first", "/second", "/broken")
    ]
    made.add_topic("t")
    made.partitions.held["t", 0].log_dir = made.log_dirs[0]
    return made


def move(bench: HandlerBench, *asked: tuple[str, str, int]) -> dict[tuple[str, int], int]:
    dirs = [
        AlterReplicaLogDir(path, [AlterReplicaLogDirTopic(name, [index])])
        for path, name, index in asked
    ]
    request = AlterReplicaLogDirsRequest(dirs=dirs)
    answer = alter_replica_log_dirs.handle(request, bench.context(2))
    return {
        (topic.topic_name, one.partition_index): one.error_code
        for topic in answer.results
        for one in topic.partitions
    }


@pytest.mark.parametrize(
    ("path", "index", "code"),
    [
        ("/first", 0, ErrorCode.NONE),
        ("/second", 0, ErrorCode.UNSUPPORTED_VERSION),
        ("/broken", 0, ErrorCode.KAFKA_STORAGE_ERROR),
        ("/nowhere", 0, ErrorCode.LOG_DIR_NOT_FOUND),
        ("/first/", 0, ErrorCode.LOG_DIR_NOT_FOUND),
        ("first", 0, ErrorCode.LOG_DIR_NOT_FOUND),
        ("", 0, ErrorCode.LOG_DIR_NOT_FOUND),
        ("/first", 9, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        ("/nowhere", 9, ErrorCode.LOG_DIR_NOT_FOUND),
    ],
)
def test_where_a_replica_can_be_had(
    bench: HandlerBench, path: str, index: int, code: ErrorCode
) -> None:
    assert move(bench, (path, "t", index)) == {("t", index): code}


def test_a_replica_that_is_asked_for_twice_is_answered_once(bench: HandlerBench) -> None:
    found = move(bench, ("/first", "t", 0), ("/nowhere", "t", 0))
    assert found == {("t", 0): ErrorCode.LOG_DIR_NOT_FOUND}
