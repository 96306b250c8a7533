"""`tierbroker topic`: list, make, show and remove topics. The work is `cli.topic_run`."""

import sys

import click

from tierbroker.cli.bootstrap import Bootstrap
from tierbroker.cli.broker_flags import DEFAULT_DATA
from tierbroker.cli.data_dirs import settings_options
from tierbroker.cli.lazy_group import LazyCommand, LazyGroup
from tierbroker.cli.options import bootstrap_option, json_option, parse_key_value, parse_with


@click.command("ls")
@click.option("-a", "--all", "show_internal", is_flag=True, help="Internal topics too.")
@json_option
@bootstrap_option
def ls(show_internal: bool, as_json: bool, bootstrap: Bootstrap) -> None:
    """List the topics: name, partitions, replicas.

    \b
    Examples:
      tierbroker topic ls
      tierbroker topic ls --json
    """
    from tierbroker.cli.topic_run import list_topics

    list_topics(bootstrap, show_internal=show_internal, as_json=as_json)


@click.command("new")
@click.argument("name")
@click.option(
    "-p",
    "--partitions",
    type=click.IntRange(min=1),
    help="Number of partitions; the broker's num.partitions if not given.",
)
@click.option(
    "--replicas",
    type=click.IntRange(min=1),
    help="Replicas of each partition; the broker's default if not given.",
)
@click.option(
    "-c",
    "--config",
    "configs",
    callback=parse_with(parse_key_value),
    metavar="KEY=VALUE",
    multiple=True,
    help="A topic setting by Kafka's name; repeatable.",
)
@json_option
@bootstrap_option
def new(
    name: str,
    partitions: int | None,
    replicas: int | None,
    configs: tuple[tuple[str, str], ...],
    as_json: bool,
    bootstrap: Bootstrap,
) -> None:
    """Make the topic NAME.

    \b
    Examples:
      tierbroker topic new hello
      tierbroker topic new events --partitions 6 --config retention.ms=86400000
    """
    from tierbroker.cli.topic_run import create_topic

    create_topic(bootstrap, name, partitions, replicas, dict(configs), as_json=as_json)


@click.command("show")
@click.argument("name")
@json_option
@bootstrap_option
def show(name: str, as_json: bool, bootstrap: Bootstrap) -> None:
    """Show the topic NAME: its partitions with their offsets, and settings that are not defaults.

    When piped, the lines of partitions begin with "partition" and those of settings with "config".

    \b
    Examples:
      tierbroker topic show hello
      tierbroker topic show hello --json
    """
    from tierbroker.cli.topic_run import show_topic

    show_topic(bootstrap, name, as_json=as_json)


@click.command("rm")
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Do not ask, even on a terminal.")
@json_option
@bootstrap_option
def rm(name: str, yes: bool, as_json: bool, bootstrap: Bootstrap) -> None:
    """Remove the topic NAME and all of its records. On a terminal it asks first.

    \b
    Examples:
      tierbroker topic rm hello
      tierbroker topic rm hello --yes
    """
    from tierbroker.cli.topic_run import remove_topic

    ask = not yes and sys.stdin.isatty() and sys.stdout.isatty()
    remove_topic(bootstrap, name, ask=ask, as_json=as_json)


@click.command("why")
@click.argument("name")
@click.argument("partition", type=click.IntRange(min=0), required=False)
@click.option(
    "--data",
    metavar="DIR",
    help="The broker's data directory; if not given, that of the broker that runs, or ./data.",
)
@settings_options
@json_option
@bootstrap_option
@click.pass_context
def why(
    context: click.Context,
    name: str,
    partition: int | None,
    data: str | None,
    config: str | None,
    sets: tuple[tuple[str, str], ...],
    as_json: bool,
    bootstrap: Bootstrap,
) -> None:
    """Say of each segment of topic NAME why it is still there, until when, and by which setting.

    Retention and compaction are explained. Reads the data directory on this machine, beside a
    running broker too, and changes nothing. The broker that runs there is asked how it was
    started; without one, what --set, --config and the environment say counts, else defaults.

    On a terminal a paragraph for each segment; piped and with --json, a line with all figures.

    \b
    Examples:
      tierbroker topic why hello
      tierbroker topic why hello 0 --data /var/tmp/kafka --json
      tierbroker topic why hello --config /etc/tierbroker.toml
      tierbroker topic why hello --set log.retention.hours=1      (what if)
    """
    from tierbroker.cli.topic_why import Where, explain_topic

    flags = dict(sets)
    if data is not None:
        flags["log.dirs"] = data
    named = context.get_parameter_source("bootstrap") is click.core.ParameterSource.COMMANDLINE
    where = Where(flags, config, bootstrap, is_named=named, default_dir=DEFAULT_DATA)
    explain_topic(name, partition, where, as_json=as_json)


_MODULE = "tierbroker.cli.topic"


@click.group(
    cls=LazyGroup,
    commands_table={
        "ls": LazyCommand(_MODULE, "ls", "List the topics."),
        "new": LazyCommand(_MODULE, "new", "Make a topic."),
        "show": LazyCommand(_MODULE, "show", "Show partitions, offsets and settings of a topic."),
        "why": LazyCommand(_MODULE, "why", "Say why each segment is still there."),
        "rm": LazyCommand(_MODULE, "rm", "Remove a topic and its records."),
    },
)
def topic() -> None:
    """List, make, show and remove topics.

    \b
    Examples:
      tierbroker topic new hello --partitions 3
      tierbroker topic show hello
    """
