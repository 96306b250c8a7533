"""`tierbroker group`: list, show and remove consumer groups. The work is `cli.group_run`."""

import click

from tierbroker.cli.bootstrap import Bootstrap
from tierbroker.cli.lazy_group import LazyCommand, LazyGroup
from tierbroker.cli.options import bootstrap_option, json_option


@click.command("ls")
@json_option
@bootstrap_option
def ls(as_json: bool, bootstrap: Bootstrap) -> None:
    """List the consumer groups: name, state, type.

    \b
    Examples:
      tierbroker group ls
      tierbroker group ls --json
    """
    from tierbroker.cli.group_run import list_groups

    list_groups(bootstrap, as_json=as_json)


@click.command("show")
@click.argument("name")
@json_option
@bootstrap_option
def show(name: str, as_json: bool, bootstrap: Bootstrap) -> None:
    """Show the group NAME: its members with their partitions, and how far it has read.

    The lag of a partition is what the group has not read of it: its end less the committed offset.
    When piped, lines begin with "group", "member" or "partition".

    \b
    Examples:
      tierbroker group show billing
      tierbroker group show billing --json
    """
    from tierbroker.cli.group_run import show_group

    show_group(bootstrap, name, as_json=as_json)


@click.command("rm")
@click.argument("name")
@json_option
@bootstrap_option
def rm(name: str, as_json: bool, bootstrap: Bootstrap) -> None:
    """Remove the group NAME and its committed offsets. A group with members is left alone.

    \b
    Examples:
      tierbroker group rm billing
    """
    from tierbroker.cli.group_run import remove_group

    remove_group(bootstrap, name, as_json=as_json)


_MODULE = "tierbroker.cli.group"


@click.group(
    cls=LazyGroup,
    commands_table={
        "ls": LazyCommand(_MODULE, "ls", "List the consumer groups."),
        "show": LazyCommand(_MODULE, "show", "Show members, offsets and lag of a group."),
        "rm": LazyCommand(_MODULE, "rm", "Remove a group and its committed offsets."),
    },
)
def group() -> None:
    """List, show and remove consumer groups.

    \b
    Examples:
      tierbroker group ls
      tierbroker group show billing
    """
