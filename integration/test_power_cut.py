"""The power fails under load: what was acknowledged is there after the next start.

A loop-mounted ext4 is shut down by the ioctl that drops what its journal does not hold yet, which
is what a power cut does. The same cuts on a disk of the tests' own: tests/property/test_log.py.
POWER_CUT_ROUNDS sets the number of cuts.
"""

import fcntl
import os
import random
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from integration.broker_processes import Tierbroker, wait_until
from integration.conftest import CHOICE, create_topic
from integration.test_kill_under_load import PARTITIONS, Place, must_hold, read_all

ROUNDS = int(os.environ.get("POWER_CUT_ROUNDS", "20"))
SEED = int(os.environ.get("TORTURE_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
DISK_BYTES = 512 << 20
EXT4_IOC_SHUTDOWN = 0x8004587D
"""Linux, include/uapi/linux/ext4.h."""
NO_LOG_FLUSH = 2
"""What the journal has not written yet is dropped too."""
ROUNDS_PER_TOPIC = 15
"""A new topic now and then keeps the check after each round short."""


class CuttableDisk:
    """An ext4 in a file."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "disk"
        self._image = directory / "disk.img"

    def make(self) -> str:
        """Make and mount it; answers why that cannot be done here, or nothing."""
        self.path.mkdir()
        with self._image.open("wb") as image:
            image.truncate(DISK_BYTES)
        if os.geteuid() != 0:
            return "mounting takes root"
        command = ["mkfs.ext4", "-q", "-F", str(self._image)]
        try:
            subprocess.run(command, check=True, capture_output=True)
            self.mount()
        except (OSError, subprocess.CalledProcessError) as error:
            return f"no ext4 can be mounted: {error}"
        return ""

    def mount(self) -> None:
        command = ["mount", "-o", "loop", str(self._image), str(self.path)]
        subprocess.run(command, check=True, capture_output=True)

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.path)], check=True, capture_output=True)

    def cut(self) -> None:
        """From now on nothing reaches the disk, and every call on it fails."""
        fd = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(fd)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[CuttableDisk]:
    made = CuttableDisk(tmp_path)
    if problem := made.make():
        # No skip: CI has none. The same cuts are made on a disk in the tests, which go everywhere.
        pytest.xfail(f"{problem}; tests/property/test_log.py cuts the power of a disk of its own")
    yield made
    if made.path.is_mount():
        made.unmount()


class Load:
    """One producer that never stops sending, and what it was acknowledged."""

    def __init__(self, bootstrap: str, topic: str, name: str) -> None:
        settings = {"bootstrap.servers": bootstrap, "linger.ms": 2, "log_level": 0}
        limits = {"message.timeout.ms": 60_000, "enable.idempotence": True}
        self._producer = Producer({**settings, **limits})
        self._topic, self._name = topic, name
        self._ended = threading.Event()
        self._acknowledged: dict[Place, str] = {}
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._ended.is_set():
            for _ in range(20):
                value = f"{self._name}-{number}".ljust(200, ".")
                self._producer.produce(
                    self._topic, value, partition=number % PARTITIONS, on_delivery=self._note
                )
                number += 1
            self._producer.poll(0.005)

    def _note(self, error: object, message: object) -> None:
        if error is None:
            place = (message.partition(), message.offset())  # type: ignore[attr-defined]
            self._acknowledged[place] = message.value().decode()  # type: ignore[attr-defined]

    def acknowledged_so_far(self) -> dict[Place, str]:
        return self._acknowledged.copy()

    def end(self) -> None:
        """Send no more; what is under way is dropped."""
        self._ended.set()
        self._thread.join()
        self._producer.purge()
        self._producer.poll(0.1)


def test_the_cut_takes_what_was_not_synced(disk: CuttableDisk) -> None:
    """Without this the other test would prove nothing."""
    (disk.path / "lost").write_bytes(b"x" * 10_000)
    fd = os.open(disk.path / "kept", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"y" * 10_000)
    os.fsync(fd)
    os.write(fd, b"z" * 10_000)
    os.close(fd)
    disk.cut()
    disk.unmount()
    disk.mount()
    assert (disk.path / "kept").read_bytes() == b"y" * 10_000
    lost = disk.path / "lost"
    assert not lost.exists() or not lost.read_bytes()


@pytest.mark.torture
@pytest.mark.timeout(240 + ROUNDS * 30)
def test_acknowledged_records_survive_power_cuts(disk: CuttableDisk, tmp_path: Path) -> None:
    if CHOICE:
        pytest.skip("this test owns its broker; INTEGRATION_BOOTSTRAP names another")
    rng = random.Random(SEED)
    print(f"TORTURE_SEED={SEED} POWER_CUT_ROUNDS={ROUNDS}")
    broker = Tierbroker(tmp_path)
    broker.data_dir = disk.path / "data"
    try:
        broker.start()
        for first in range(0, ROUNDS, ROUNDS_PER_TOPIC):
            topic = f"cut-{first}"
            # Small segments roll: there are new names in many a cut.
            config = {"segment.bytes": str(1 << 20), "flush.mode": "fsync"}
            create_topic(broker.bootstrap, topic, PARTITIONS, config)
            cut_repeatedly(broker, disk, topic, min(ROUNDS_PER_TOPIC, ROUNDS - first), rng)
            delete_topic(broker.bootstrap, topic)
        broker.stop()
    finally:
        if broker.running:
            broker.kill()


def cut_repeatedly(
    broker: Tierbroker, disk: CuttableDisk, topic: str, rounds: int, rng: random.Random
) -> None:
    """`rounds` times: load, cut, start, check all that was acknowledged in any of them."""
    acknowledged: dict[Place, str] = {}
    for number in range(rounds):
        load = Load(broker.bootstrap, topic, f"r{number}")
        try:
            wait_until(lambda load=load: load.acknowledged_so_far(), "acknowledgement", 30)
            time.sleep(rng.uniform(0, 0.8))
            # Not what comes later: the kernel's shutdown races with a sync under way, which may
            # then say that it succeeded. Nothing leaves a machine whose power is gone.
            acknowledged |= load.acknowledged_so_far()
            disk.cut()
            time.sleep(rng.uniform(0, 0.2))
        finally:
            load.end()
            if broker.running:
                broker.kill()
        disk.unmount()
        disk.mount()
        broker.start()
        must_hold(read_all(broker.bootstrap, topic), acknowledged, f"round {number}")


def delete_topic(bootstrap: str, topic: str) -> None:
    """What many rounds wrote would not fit on the disk together."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 4})
    for deleted in admin.delete_topics([topic], operation_timeout=30).values():
        deleted.result(timeout=30)
