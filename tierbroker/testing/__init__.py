"""Brokers for tests and programs: the pytest plugin, and `tierbroker.Broker`.

The plugin is loaded by every pytest run of an environment that has tierbroker installed, so
nothing here may import more than it needs before a fixture asks for a broker.
"""
