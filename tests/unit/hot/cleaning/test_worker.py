"""The child's side of the conversation: every job line gets one last answer."""

import errno
from io import BytesIO
from pathlib import Path

import pytest

from tests.faulty_fs import FaultyFileSystem
from tierbroker.base.fs import FileSystem, OsFileSystem
from tierbroker.hot.cleaning.job import (
    CleanError,
    CleanJob,
    CleanResult,
    Reply,
    SegmentFile,
    decode_reply,
    encode_job,
)
from tierbroker.hot.cleaning.worker import serve
from tierbroker.records.batch import rewrite_crc
from tierbroker.records.builder import build_batch
from tierbroker.records.record import Record


def make_job(directory: Path, job_id: int = 1, table_bytes: int = 10_000) -> CleanJob:
    batches = [
        build_batch([Record(0, 5, b"key", b"%d" % number)], base_offset=number)
        for number in range(5)
    ]
    content = b"".join(batches)
    (directory / f"{0:020}.log").write_bytes(content)
    return CleanJob(
        job_id=job_id,
        directory=str(directory),
        topic="t",
        partition=0,
        segments=(SegmentFile(0, len(content), 1),),
        later_segments=(5,),
        first_dirty_offset=0,
        end_offset=5,
        producers=(),
        now_ms=1_000,
        delete_retention_ms=10,
        table_bytes=table_bytes,
        load_factor=0.9,
        segment_bytes=1_000,
        index_bytes=1_000,
        index_interval_bytes=4_096,
        max_message_bytes=1_000,
        io_buffer_bytes=1_000,
        io_bytes_per_second=1e12,
    )


def answers(lines: bytes, fs: FileSystem | None = None) -> list[Reply]:
    output = BytesIO()
    serve(BytesIO(lines), output, fs or OsFileSystem(durable=False))
    return [decode_reply(line) for line in output.getvalue().splitlines()]


def test_jobs_are_done_one_after_the_other(tmp_path: Path) -> None:
    lines = encode_job(make_job(tmp_path, 7)) + encode_job(make_job(tmp_path, 8))
    first, second = answers(lines)
    assert isinstance(first, CleanResult)
    assert isinstance(second, CleanResult)
    assert (first.job_id, second.job_id) == (7, 8)
    assert first.segments == second.segments
    assert first.statistics.records_kept == 1


def test_the_end_of_input_is_the_end() -> None:
    assert answers(b"") == []


def test_damage_is_an_answer(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    path = tmp_path / f"{0:020}.log"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    (error,) = answers(encode_job(job))
    assert isinstance(error, CleanError)
    assert (error.damaged, error.file, error.errno) == (True, path.name, 0)
    assert error.position == len(content) // 5 * 4
    assert "CRC" in error.message


def test_malformed_records_are_damage(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    path = tmp_path / f"{0:020}.log"
    whole = bytearray(build_batch([Record(0, 5, b"key", b"v")]))
    whole[60] = 2  # two records, where one is
    rewrite_crc(whole, 0, len(whole))
    path.write_bytes(whole + path.read_bytes()[len(whole) :])
    (error,) = answers(encode_job(job))
    assert isinstance(error, CleanError)
    assert (error.damaged, error.position) == (True, 0)


def test_an_error_of_the_disk_is_an_answer(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    fs = FaultyFileSystem(OsFileSystem(durable=False))
    fs.fail_next("fdatasync", errno.EIO)
    failed, done = answers(encode_job(job) * 2, fs)
    assert isinstance(failed, CleanError)
    assert (failed.damaged, failed.errno) == (False, errno.EIO)
    assert isinstance(done, CleanResult)


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    (tmp_path / f"{0:020}.log").unlink()
    (error,) = answers(encode_job(job))
    assert isinstance(error, CleanError)
    assert (error.errno, error.file) == (errno.ENOENT, f"{0:020}.log")


def test_a_table_without_room_for_a_key_is_told(tmp_path: Path) -> None:
    (error,) = answers(encode_job(make_job(tmp_path, table_bytes=10)))
    assert isinstance(error, CleanError)
    assert "holds no key" in error.message


def test_rubbish_ends_the_child() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        answers(b"rubbish\n")


class NobodyListens(BytesIO):
    def write(self, data: object) -> int:
        raise BrokenPipeError


def test_a_parent_that_is_gone_ends_the_child(tmp_path: Path) -> None:
    lines = BytesIO(encode_job(make_job(tmp_path)))
    with pytest.raises(BrokenPipeError):
        serve(lines, NobodyListens(), OsFileSystem(durable=False))
