"""`tierbroker transaction`: list, show and abort. The work is `cli.transaction_run`."""

import click

from tierbroker.cli.bootstrap import Bootstrap
from tierbroker.cli.lazy_group import LazyCommand, LazyGroup
from tierbroker.cli.options import bootstrap_option, json_option


@click.command("ls")
@click.option("--open", "only_open", is_flag=True, help="Only those with an open transaction.")
@json_option
@bootstrap_option
def ls(only_open: bool, as_json: bool, bootstrap: Bootstrap) -> None:
    """List the transactional ids: id, state, producer id, and of an open transaction for how long.

    The one that is open the longest comes first. When its timeout is over the broker aborts it.

    \b
    Examples:
      tierbroker transaction ls --open
      tierbroker transaction ls --json
    """
    from tierbroker.cli.transaction_run import list_transactions

    list_transactions(bootstrap, only_open=only_open, as_json=as_json)


@click.command("show")
@click.argument("name")
@json_option
@bootstrap_option
def show(name: str, as_json: bool, bootstrap: Bootstrap) -> None:
    """Show the transactional id NAME: its state, its producer, and the partitions it is open on.

    Consumers with isolation.level=read_committed wait there for its end, and so does compaction.

    \b
    Examples:
      tierbroker transaction show billing-1
      tierbroker transaction show billing-1 --json
    """
    from tierbroker.cli.transaction_run import show_transaction

    show_transaction(bootstrap, name, as_json=as_json)


@click.command("abort")
@click.argument("name")
@json_option
@bootstrap_option
def abort(name: str, as_json: bool, bootstrap: Bootstrap) -> None:
    """Abort the open transaction of the transactional id NAME. Its producer is fenced.

    Readers of committed records then pass over its records. A producer that is still alive gets an
    error at its next step and has to begin anew. Returns when the abort is complete.

    \b
    Examples:
      tierbroker transaction abort billing-1
    """
    from tierbroker.cli.transaction_run import abort_transaction

    abort_transaction(bootstrap, name, as_json=as_json)


_MODULE = "tierbroker.cli.transaction"


@click.group(
    cls=LazyGroup,
    commands_table={
        "ls": LazyCommand(_MODULE, "ls", "List the transactional ids."),
        "show": LazyCommand(_MODULE, "show", "Show state, producer and partitions of an id."),
        "abort": LazyCommand(_MODULE, "abort", "Abort the open transaction of an id."),
    },
)
def transaction() -> None:
    """List, show and abort transactions, such as one that hangs because its producer is gone.

    \b
    Examples:
      tierbroker transaction ls --open
      tierbroker transaction show billing-1
      tierbroker transaction abort billing-1
    """
