"""How commands end: exit codes, and the errors that carry them.

0 is success, 1 a failure that the message explains, 2 wrong usage (click's own), 3 a broker that
cannot be reached. A message says what happened with names and numbers, why, and what to type next.
"""

from enum import IntEnum

import click


class ExitCode(IntEnum):
    """Exit codes of every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    INTERRUPTED = 130


class CommandFailedError(click.ClickException):
    """The command could not do what it was asked; exit code 1."""

    exit_code = ExitCode.FAILED


class UnreachableError(click.ClickException):
    """No broker answers at the address; exit code 3."""

    exit_code = ExitCode.UNREACHABLE
