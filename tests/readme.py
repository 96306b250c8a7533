"""The blocks of code of the README, for the tests that run them."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

FIRST_LINES = {
    "make": "make run     # sets everything up and starts a broker on 127.0.0.1:9092, "
    "data in ./data",
    "commands": ".venv/bin/tierbroker topic new hello --partitions 3",
    "client": "from kafka import KafkaConsumer, KafkaProducer",
    "tiered": ".venv/bin/tierbroker topic new history --config remote.storage.enable=true "
    "--config local.retention.ms=3600000",
    "minio": "export AWS_ENDPOINT_URL=http://127.0.0.1:9000 AWS_ACCESS_KEY_ID=minioadmin "
    "AWS_SECRET_ACCESS_KEY=minioadmin",
    "bucket": ".venv/bin/tierbroker archive cat s3://archive/production history",
    "fixture": "from kafka import KafkaConsumer, KafkaProducer",
    "embedded": "import asyncio",
}
"""Every block there is, in order; each is run by a test."""


def readme_blocks() -> dict[str, str]:
    """The code of each block, by its name; AssertionError when there is another."""
    blocks = [code for _, code in _BLOCK.findall((ROOT / "README.md").read_text())]
    assert [code.split("\n")[0] for code in blocks] == list(FIRST_LINES.values())
    return dict(zip(FIRST_LINES, blocks, strict=True))
