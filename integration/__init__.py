"""Real clients, Apache Kafka's tools and a real broker process: what `make integration` runs."""
