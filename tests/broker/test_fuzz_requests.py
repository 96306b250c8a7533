"""Spoiled requests against a broker process with little memory: it stays up, serves, stays small.

FUZZ_SEED repeats a run; without it CI always runs the same, other machines a new one each time.
"""

import contextlib
import json
import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from tests.broker.recording_proxy import RecordingProxy
from tests.broker.request_corpus import meant_requests, sampled_requests, spoil
from tests.broker.wire_calls import batch_of, create_topic, delete_topic, fetch, produce
from tests.broker.wire_client import WireClient, framed
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.metadata import MetadataRequest

DEADLINE_S = 30.0
BUDGET_S = 15.0
ROUNDS = 2000
CONNECTIONS = 24
FRAMES = 3
WARM_UP_ROUNDS = 15
ADDRESS_SPACE_BYTES = 1 << 30
GROWTH_LIMIT_BYTES = 64 << 20
TOPIC = "fuzz-target"


class BrokerProcess:
    """A broker of its own with a cap on its memory; its log is kept."""

    def __init__(self, folder: pathlib.Path, advertised_port: int) -> None:
        ready = folder / "ready.json"
        self._log = folder / "log"
        command = [sys.executable, "-m", "tierbroker", "dev", "--port", "0", "--ephemeral"]
        settings = [
            f"advertised.listeners=PLAINTEXT://127.0.0.1:{advertised_port}",
            # One port alone, the one that is found by what the process listens on.
            "http.listener=",
            # What was deleted is removed at once, and what was spoiled cannot fill the disk.
            "log.segment.delete.delay.ms=0",
            "log.segment.bytes=4194304",
            "log.retention.bytes=8388608",
        ]
        for setting in settings:
            command += ["--set", setting]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TIERBROKER_")}
        with open(self._log, "wb") as log:
            self.process = subprocess.Popen(
                [*command, "--ready-file", str(ready)], stdout=log, stderr=log, env=environment
            )
        deadline = time.monotonic() + DEADLINE_S
        while not ready.exists():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, "no ready file"
            time.sleep(0.01)
        self._said = json.loads(ready.read_text())
        self._port = _listening_port(self.process.pid)
        limit = self._status("VmSize") + ADDRESS_SPACE_BYTES
        resource.prlimit(self.process.pid, resource.RLIMIT_AS, (limit, limit))

    @property
    def port(self) -> int:
        return self._port

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self._port}"

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def resident_bytes(self) -> int:
        return self._status("VmRSS")

    def stop(self) -> int:
        """Stop it in order; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)

    def _status(self, name: str) -> int:
        with open(f"/proc/{self.process.pid}/status") as file:
            line = next(line for line in file if line.startswith(name + ":"))
        return int(line.split()[1]) * 1024


def _listening_port(pid: int) -> int:
    """The port that the process listens on; it advertises another one."""
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            inodes.add(os.readlink(f"/proc/{pid}/fd/{fd}").removeprefix("socket:[").rstrip("]"))
    with open(f"/proc/{pid}/net/tcp") as file:
        for line in list(file)[1:]:
            columns = line.split()
            if columns[3] == "0A" and columns[9] in inodes:
                return int(columns[1].rpartition(":")[2], 16)
    raise AssertionError("the broker does not listen")


@pytest.fixture
def seed() -> int:
    if "FUZZ_SEED" in os.environ:
        return int(os.environ["FUZZ_SEED"])
    return 20_261_122 if os.environ.get("CI") == "true" else random.SystemRandom().getrandbits(32)


@pytest.fixture
def proxy() -> Iterator[RecordingProxy]:
    relay = RecordingProxy()
    yield relay
    relay.close()


@pytest.fixture
def broker(tmp_path: pathlib.Path, proxy: RecordingProxy) -> Iterator[BrokerProcess]:
    process = BrokerProcess(tmp_path, proxy.port)
    proxy.relay_to("127.0.0.1", process.port)
    yield process
    if process.process.poll() is None:
        process.process.kill()
        process.process.wait()


def record_a_client(proxy: RecordingProxy) -> list[bytes]:
    """What kafka-python sends to write and to read a little."""
    address = f"127.0.0.1:{proxy.port}"
    producer = KafkaProducer(bootstrap_servers=address, compression_type="gzip")
    sent = [producer.send(TOPIC, b"value %d" % number, b"key") for number in range(20)]
    for future in sent:
        future.get(timeout=DEADLINE_S)
    producer.close()
    consumer = KafkaConsumer(
        bootstrap_servers=address, auto_offset_reset="earliest", enable_auto_commit=False
    )
    consumer.assign([TopicPartition(TOPIC, 0)])
    deadline = time.monotonic() + DEADLINE_S
    while not consumer.poll(1000):
        assert time.monotonic() < deadline, "kafka-python reads nothing"
    consumer.close()
    return list(proxy.frames)


def good_client(broker: BrokerProcess) -> None:
    """Someone else's work goes on: metadata, a write, and a read of what was written.

    Spoiled requests may have made topics, or deleted this one: both is put right.
    """
    with WireClient(broker.bootstrap) as client:
        client.ping()
        names = {topic.name for topic in client.call(MetadataRequest(topics=None), 12).topics}
        for name in names - {TOPIC}:
            delete_topic(client, name)
        if TOPIC not in names:
            create_topic(client, TOPIC)
        batch = batch_of([b"good"], key=b"good")
        written = produce(client, TOPIC, batch, version=9)
        deadline = time.monotonic() + DEADLINE_S
        while written.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
            # A spoiled request is making the topic just now: stock clients ask again as well.
            assert time.monotonic() < deadline, written
            written = produce(client, TOPIC, batch, version=9)
        assert written.error_code == 0, written
        read = fetch(client, TOPIC, written.base_offset, version=12)
        # Spoiled requests that are still under way may have written behind it.
        assert bytes(read.records)[61 : len(batch)] == batch[61:]


def spoiled_round(
    broker: BrokerProcess, corpus: list[bytes], rng: random.Random
) -> list[WireClient]:
    """Connections that have sent spoiled frames; some of them lie about the size, too."""
    clients = []
    for _ in range(CONNECTIONS):
        client = WireClient(broker.bootstrap)
        clients.append(client)
        for _ in range(FRAMES):
            frame = framed(spoil(rng.choice(corpus), corpus, rng))
            if rng.random() < 0.05:
                frame = rng.randbytes(rng.randint(1, 4)) + frame[4:]
            client.send_bytes(frame)
    return clients


def test_spoiled_requests(broker: BrokerProcess, proxy: RecordingProxy, seed: int) -> None:
    rng = random.Random(seed)
    with WireClient(broker.bootstrap) as client:
        create_topic(client, TOPIC)
    recorded = record_a_client(proxy)
    corpus = [*sampled_requests(rng), *meant_requests(TOPIC) * 3, *recorded]
    assert len(recorded) > 5
    end = time.monotonic() + BUDGET_S
    settled = 0
    for number in range(ROUNDS):
        where = f"FUZZ_SEED={seed}, round {number}"
        clients = spoiled_round(broker, corpus, rng)
        try:
            good_client(broker)
        except Exception as error:
            raise AssertionError(f"{where}: {error!r}\n{broker.log()[-4000:]}") from error
        finally:
            for client in clients:
                client.close()
        assert broker.process.poll() is None, f"{where}: it died\n{broker.log()[-4000:]}"
        if number == WARM_UP_ROUNDS:
            settled = broker.resident_bytes()
        if number > WARM_UP_ROUNDS and time.monotonic() > end:
            break
    good_client(broker)
    growth = broker.resident_bytes() - settled
    assert growth < GROWTH_LIMIT_BYTES, f"FUZZ_SEED={seed}: grew by {growth >> 20} MiB"
    assert broker.stop() == 0, f"FUZZ_SEED={seed}\n{broker.log()[-4000:]}"
    log = broker.log()
    assert "Traceback" not in log, f"FUZZ_SEED={seed}\n{log[log.index('Traceback') - 500 :][:4000]}"
