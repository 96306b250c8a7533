"""One script of requests, put to Apache Kafka and to tierbroker: every decoded answer is equal.

`integration/scenarios/` holds the scripts; `python -m integration.differential --help` runs them
by hand. Kafka's answer is the specification. What may differ is on two lists and nowhere else:
`varying.py` names fields that differ from run to run (ids, ports, times), and
`known_differences.toml` names answers of ours that are not Kafka's yet, each with its reason.
"""
