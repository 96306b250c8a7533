"""Scripts of requests, an area each; `integration/differential` puts them to two brokers."""
