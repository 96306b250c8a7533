"""Runs kafka-python's own integration tests against a broker, in a process of their own.

The tests come from its source distribution, which `make integration` fetches into
integration/.kafka-python. That archive is unpacked anew for every run and never imported here:
the suite has its own conftest, plugins and settings.
"""

import os
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ARCHIVES = HERE.parent / ".kafka-python"
ALLOWED = HERE / "allowed.txt"
MISSING = HERE / "missing.toml"
KAFKA_VERSION = "4.3.0"

TEST_TIMEOUT_S = 180
RUN_TIMEOUT_S = 1500

BROKER_SETTINGS = {
    # The tests name broker 0, and write to four partitions of topics that nobody created.
    "node.id": "0",
    "num.partitions": "4",
    # test_group joins with a session timeout of three seconds.
    "group.min.session.timeout.ms": "1000",
}
"""What the suite's own brokers are started with."""

PATIENCE: dict[str, dict[str, str]] = {
    "conftest.py": {
        ".wait(timeout=15)": ".wait(timeout=90)",
        ".join(timeout=5)": ".join(timeout=60)",
    },
    "test_admin_integration.py": {
        "t1p2: 30}, timeout_ms=1000)": "t1p2: 30}, timeout_ms=30000)",
        "poll(max_records=600, timeout_ms=2000)": "poll(max_records=600, timeout_ms=30000)",
        "wait_for_stable(timeout=35)": "wait_for_stable(timeout=90)",
    },
    "test_consumer_integration.py": {
        ".bootstrap(timeout_ms=500)": ".bootstrap(timeout_ms=30000)",
        "fut.get(timeout=5)": "fut.get(timeout=60)",
        "consumer.poll(timeout_ms=2000)": "consumer.poll(timeout_ms=30000)",
        "    TIMEOUT_MS = 500\n": "    TIMEOUT_MS = 6000\n",
        "consumer_timeout_ms=5000,": "consumer_timeout_ms=60000,",
        "    timeout = 10\n": "    timeout = 60\n",
        "request_timeout_ms=500)": "request_timeout_ms=6000)",
        "position(tp, timeout_ms=1000)": "position(tp, timeout_ms=30000)",
        "session_timeout_ms=3000, request_timeout_ms=4000, bootstrap_timeout_ms=5000": (
            "session_timeout_ms=12000, request_timeout_ms=15000, bootstrap_timeout_ms=30000"
        ),
        "wait_for_stable(timeout=15)": "wait_for_stable(timeout=90)",
    },
    "test_producer_integration.py": {
        "future.get(timeout=5)": "future.get(timeout=60)",
        ".get(timeout=1)": ".get(timeout=60)",
        "<= 1000  # Allow 1s deviation": "<= 60000",
        "'consumer_timeout_ms': 10000,": "'consumer_timeout_ms': 60000,",
    },
}
"""By file, what the suite's bounds become on a machine that may stand still for some seconds: its
tests are about what a broker does, not about how fast."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a test of the suite ended."""

    result: str
    """`passed`, `failed` or `skipped`."""
    text: str = ""
    """What the suite said about it, when it did not pass."""


def unpack(directory: Path) -> Path:
    """Unpack the source distribution, add what it leaves out, and widen its bounds; its root."""
    archives = list(ARCHIVES.glob("kafka_python-*.tar.gz"))
    assert len(archives) == 1, f"{ARCHIVES}: run `make integration`, which fetches the archive"
    with tarfile.open(archives[0]) as archive:
        archive.extractall(directory, filter="data")
    (root,) = directory.iterdir()
    tests = root / "test"
    # Without this file `test` would be the package of that name in the standard library.
    (tests / "__init__.py").touch()
    (tests / "service.py").write_text((HERE / "service.py").read_text())
    for name, bounds in PATIENCE.items():
        file = tests / "integration" / name
        text = file.read_text()
        for bound, wider in bounds.items():
            assert bound in text, f"{name} has no {bound!r} any more"
            text = text.replace(bound, wider)
        file.write_text(text)
    return root


def run_suite(root: Path, bootstrap: str, report: Path) -> dict[str, Outcome]:
    """Run all of it against the broker; outcomes by name, as in allowed.txt."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    env |= {
        "KAFKA_VERSION": KAFKA_VERSION,
        "KAFKA_URI": f"kafka://{bootstrap}",
        # Where a distribution of Kafka would be: it only has to exist.
        "KAFKA_ROOT": str(root),
        # Skips are outcomes here, not faults of this repository's tests.
        "CI": "",
    }
    command = [sys.executable, "-m", "pytest", "test/integration"]
    command += ["-p", "no:tierbroker", "-p", "no:cacheprovider", "-o", "addopts="]
    command += [f"--timeout={TEST_TIMEOUT_S}", "--timeout-method=signal"]
    command += ["-q", "--tb=short", f"--junitxml={report}"]
    ended = subprocess.run(
        command, cwd=root, env=env, capture_output=True, timeout=RUN_TIMEOUT_S, check=False
    )
    said = ended.stdout.decode(errors="replace")
    assert report.exists(), f"the suite did not run:\n{said[-6000:]}\n{ended.stderr[-2000:]!r}"
    return read_report(report)


def read_report(report: Path) -> dict[str, Outcome]:
    """The outcomes in a file that `pytest --junitxml` wrote."""
    outcomes: dict[str, Outcome] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        _, _, place = case.get("classname", "").partition("test.integration.")
        name = "::".join([*place.split("."), case.get("name", "")])
        bad = [case.find(kind) for kind in ("failure", "error")]
        skipped = case.find("skipped")
        faults = [fault for fault in bad if fault is not None]
        if faults:
            # A test that failed may fail again while it is taken down: one of them tells enough.
            outcomes[name] = Outcome("failed", "\n".join(fault.text or "" for fault in faults))
        elif skipped is not None:
            outcomes[name] = Outcome("skipped", skipped.get("message", ""))
        else:
            outcomes.setdefault(name, Outcome("passed"))
    return outcomes
