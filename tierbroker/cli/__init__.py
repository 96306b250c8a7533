"""The `tierbroker` command.

Every command lives in a module of its own that is imported when the command is used. Nothing
here may import a client library, rich or the broker at module level: `--help` must be instant.
"""
