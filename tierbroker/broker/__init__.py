"""What the broker answers: one handler file for each API, a registry, and their dispatch."""
