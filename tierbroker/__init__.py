"""tierbroker: a Kafka-compatible broker."""
