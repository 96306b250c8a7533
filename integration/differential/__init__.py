"""One script of requests, put to Apache Kafka and to tierbroker: every decoded answer is equal.

`integration/scenarios/` holds the scripts; `python -m integration.differential --help` runs them
by hand. Kafka's answer is the specification. What may differ is on two lists and nowhere else:
`varying.py` names fields that differ from run to run (ids, ports, times), and
`known_differences.toml` names answers of ours that are not Kafka's yet, each with its reason; an
entry that nothing needs any more fails the tests, so that the list only shrinks.

A new scenario is a public function with the one parameter `run` and a docstring, in a module of
`integration/scenarios/` (a new module is a new area):

    def first_offset(run: Run) -> None:
        \"\"\"Of an empty log.\"\"\"
        topic = run.topic("orders", partitions=2)        # ready for use; the name is its own
        client = run.connect()
        run.note("at every version that both advertise")
        client.call(Api.LIST_OFFSETS, ALL, **offsets_at(topic, -2))

Bodies are nested dicts with the field names of the generated messages. `send` leaves an answer
for later, `settled` repeats what is still on its way, `timed` looks at the clock, `silent` and
`ends` at the connection. `at_random.py` draws requests by seed. A script that yields is carried on
after both brokers were killed and started (`restarts.py`). See what Kafka answers first:
`python -m integration.differential area.first_offset --at kafka`.
"""
