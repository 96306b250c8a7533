"""Starts brokers in this process, one after the other, and prints how long each took.

A program of its own, so that the first one meets a fresh interpreter, as a test run does.
"""

import json
import statistics
import time

from bench.start import TOPIC
from bench.wire_client import WireClient, first_acknowledgement, produce_request


def start_to_first_ack() -> float:
    """Seconds."""
    started = time.perf_counter()
    from tierbroker import Broker

    request = produce_request(TOPIC, b"\x42" * 100)
    with Broker() as broker:
        client = WireClient(broker.bootstrap)
        first_acknowledgement(client, TOPIC, request)
        seconds = time.perf_counter() - started
        client.close()
    return seconds


if __name__ == "__main__":
    first = start_to_first_ack()
    later = statistics.median(start_to_first_ack() for _ in range(5))
    print(json.dumps({"first broker, with its imports": first, "broker": later}))
