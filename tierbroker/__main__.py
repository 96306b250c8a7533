"""`python -m tierbroker` is the `tierbroker` command."""

from tierbroker.cli.main import main

main()
