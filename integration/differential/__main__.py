"""`python -m integration.differential`: run scenarios by hand, against both brokers or one."""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from integration.broker_processes import BrokerProcess
from integration.differential.compare import (
    Known,
    brief,
    differences,
    load_known,
    report,
    unknown,
)
from integration.differential.pair import make_kafka, make_tierbroker
from integration.differential.runner import (
    KAFKA,
    TIERBROKER,
    carry_out,
    carry_out_over_restart,
)
from integration.differential.scenarios import Scenario, chosen, load_scenarios
from integration.differential.transcript import Transcript

MAKERS = {KAFKA: make_kafka, TIERBROKER: make_tierbroker}

EPILOG = """\
examples:
  python -m integration.differential
      all scenarios, against both brokers; exit code 1 if any differs
  python -m integration.differential metadata 'fetch.*' -v
      two areas, with the whole transcripts
  python -m integration.differential groups --at kafka
      what Kafka answers
  python -m integration.differential produce --kafka 127.0.0.1:9092
      beside a Kafka that runs already
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when nothing differs but what is known."""
    options = _parser().parse_args(arguments)
    scenarios = load_scenarios()
    if options.list:
        for scenario in scenarios:
            print(f"{scenario.name:40} {scenario.summary.splitlines()[0]}")
        return 0
    try:
        wanted = chosen(scenarios, options.scenario)
    except LookupError as error:
        print(error.args[0], file=sys.stderr)
        return 2
    with ExitStack() as stack:
        return _tell(_carried_out(stack, wanted, options), options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m integration.differential",
        description="Put scripts of requests to Apache Kafka and to tierbroker, and compare.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "scenario", nargs="*", help="name, area or pattern, like metadata or fetch.*; default all"
    )
    parser.add_argument("--list", action="store_true", help="name the scenarios and stop")
    parser.add_argument("--at", choices=(KAFKA, TIERBROKER), help="only this broker: no comparison")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="a running Kafka; default: start one")
    parser.add_argument(
        "--tierbroker", metavar="HOST:PORT", help="a running tierbroker; default: start one"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="print whole transcripts")
    parser.add_argument("--brief", action="store_true", help="a line for each field that differs")
    parser.add_argument("--json", action="store_true", help="transcripts and differences as JSON")
    return parser


def _carried_out(
    stack: ExitStack, wanted: Sequence[Scenario], options: argparse.Namespace
) -> Iterator[tuple[Scenario, dict[str, Transcript]]]:
    """Each scenario with its transcripts. Those that restart brokers get some of our own."""
    names = [options.at] if options.at else [KAFKA, TIERBROKER]
    given = {KAFKA: options.kafka, TIERBROKER: options.tierbroker}
    together = [scenario for scenario in wanted if not scenario.restarts]
    alone = [scenario for scenario in wanted if scenario.restarts]
    own = _started(stack, [name for name in names if alone or not given[name]])
    addresses = {name: given[name] or own[name].bootstrap for name in names}
    for scenario in together:
        yield scenario, carry_out(scenario, addresses)
    if alone:
        found = carry_out_over_restart(alone, own)
        yield from ((scenario, found[scenario.name]) for scenario in alone)


def _started(stack: ExitStack, names: Sequence[str]) -> dict[str, BrokerProcess]:
    """Brokers of our own; they are stopped with the stack."""
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="differential-")))
    made = {name: MAKERS[name](directory / name) for name in names}
    for broker in made.values():
        stack.callback(lambda broker=broker: broker.running and broker.stop())
        # On this thread: a process ends with the thread that started it.
        broker.start()
    return made


def _tell(
    carried_out: Iterable[tuple[Scenario, dict[str, Transcript]]], options: argparse.Namespace
) -> int:
    known = load_known()
    failed, documents = 0, []
    for scenario, transcripts in carried_out:
        text = "" if options.at else _verdict(scenario, transcripts, known, options.brief)
        failed += bool(text)
        if options.json:
            documents += [
                {**transcript.as_json(), "unknown_differences": text}
                for transcript in transcripts.values()
            ]
            continue
        if options.verbose or options.at:
            print("\n".join(transcript.text() for transcript in transcripts.values()))
        if not options.at:
            steps = len(transcripts[KAFKA].steps)
            print(text or f"ok    {scenario.name} ({steps} steps)", flush=True)
    if options.json:
        json.dump(documents, sys.stdout, indent=1)
    return 1 if failed else 0


def _verdict(
    scenario: Scenario, transcripts: dict[str, Transcript], known: list[Known], short: bool
) -> str:
    found = unknown(differences(transcripts[KAFKA], transcripts[TIERBROKER]), known)
    if not found:
        return ""
    if short:
        return f"DIFFERS  {brief(transcripts[KAFKA], found)}\n"
    text = report(transcripts[KAFKA], transcripts[TIERBROKER], found, scenario.summary)
    return f"DIFFERS  {text}\n"


if __name__ == "__main__":
    sys.exit(main())
