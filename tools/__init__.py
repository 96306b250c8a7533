"""Generators of tierbroker's own source files. Never imported by the broker."""
