"""The client library as the commands use it: quiet, bounded in time, with errors for people.

This is the one place that knows librdkafka's settings. Its own log lines are silenced; what goes
wrong arrives through `ConnectionWatch` and becomes one sentence. Imported by commands only when
they run, because the library takes tens of milliseconds to load.
"""

import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, TopicMetadata  # type: ignore[attr-defined]

from tierbroker.base.clock import SystemClock
from tierbroker.cli.bootstrap import Address, Bootstrap
from tierbroker.cli.exits import CommandFailedError, UnreachableError

if TYPE_CHECKING:
    from concurrent.futures import Future

CONNECT_TIMEOUT_S = 3.0
"""For one TCP connection to one address."""

ANSWER_TIMEOUT_S = 5.0
"""For the first answer of a broker that took the connection."""

STALL_TIMEOUT_S = 15.0
"""Without any progress for so long, a transfer that has begun is given up."""

POLL_S = 0.2
"""Between two looks at the connections while waiting for an answer."""

clock = SystemClock()

ClientConfig = dict[str, Any]


class ConnectionWatch:
    """Remembers what librdkafka reports about its connections, newest last."""

    def __init__(self) -> None:
        self.last_error: str | None = None
        self.all_down = False
        self.fatal: str | None = None

    def on_error(self, error: KafkaError) -> None:
        """librdkafka's error_cb: informational, except for fatal errors."""
        if error.fatal():
            self.fatal = error.str()
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self.all_down = True
        else:
            self.last_error = error.str()

    def clear(self) -> None:
        """Something was answered: connections work."""
        self.all_down = False
        self.last_error = None


def open_producer(
    bootstrap: Bootstrap, watch: ConnectionWatch, settings: Mapping[str, Any]
) -> Producer:
    """A producer for a cluster that takes connections; raises UnreachableError."""
    return Producer(_config(bootstrap, watch, settings))


def open_consumer(
    bootstrap: Bootstrap, watch: ConnectionWatch, settings: Mapping[str, Any]
) -> Consumer:
    """A consumer; by assignment, in no group, unless the settings say otherwise.

    Raises UnreachableError.
    """
    # The library demands a group id; without subscribe and commit it is never used.
    base: ClientConfig = {
        "group.id": "tierbroker-cli",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
    }
    return Consumer(_config(bootstrap, watch, {**base, **settings}))


class AdminSession:
    """An admin client, and how to wait for its answers."""

    def __init__(self, bootstrap: Bootstrap) -> None:
        """Connect to a cluster that answers; raises UnreachableError."""
        self.bootstrap = bootstrap
        self._watch = ConnectionWatch()
        # Without the setting, asking for the metadata of a topic would make it.
        settings = {"allow.auto.create.topics": False}
        self.client = AdminClient(_config(bootstrap, self._watch, settings))
        try:
            self.client.list_topics("tierbroker-cli-probe", timeout=ANSWER_TIMEOUT_S)
        except KafkaException as error:
            fail_request(error, bootstrap, "metadata")
        self._watch.clear()

    def result(self, future: "Future[Any]", what: str) -> Any:
        """The outcome of a request.

        Raises KafkaException with the broker's error, UnreachableError when connections fail,
        CommandFailedError when no answer comes.
        """
        started = clock.monotonic()
        while True:
            try:
                return future.result(POLL_S)
            except TimeoutError:
                self.client.poll(0)
                waited_s = clock.monotonic() - started
                if self._watch.last_error and waited_s > ANSWER_TIMEOUT_S:
                    fail_stalled(self.bootstrap, self._watch, waited_s)
                if waited_s > STALL_TIMEOUT_S:
                    raise CommandFailedError(
                        f"{self.bootstrap} did not answer the {what} request within "
                        f"{STALL_TIMEOUT_S:g} s."
                    ) from None


def _config(
    bootstrap: Bootstrap, watch: ConnectionWatch, settings: Mapping[str, Any]
) -> ClientConfig:
    await_listener(bootstrap)
    return {
        "bootstrap.servers": str(bootstrap),
        "client.id": "tierbroker-cli",
        "log_level": 0,
        "error_cb": watch.on_error,
        "broker.address.family": "any",
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1000,
        **settings,
    }


def await_listener(bootstrap: Bootstrap) -> None:
    """Return when one of the addresses takes a TCP connection; raises UnreachableError."""
    refusals = []
    for address in bootstrap.addresses:
        refusal = _try_connect(address)
        if refusal is None:
            return
        refusals.append(f"{address} ({refusal})")
    local = any(a.host in ("127.0.0.1", "localhost", "::1") for a in bootstrap.addresses)
    raise UnreachableError(
        f"Cannot reach a Kafka broker at {', '.join(refusals)}.\n"
        + ("Start one with: tierbroker dev\nOr name" if local else "Name")
        + " another address with -b HOST:PORT or TIERBROKER_BOOTSTRAP."
    )


def _try_connect(address: Address) -> str | None:
    try:
        socket.create_connection((address.host, address.port), CONNECT_TIMEOUT_S).close()
    except TimeoutError:
        return f"no answer within {CONNECT_TIMEOUT_S:g} s"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None


def fail_request(error: KafkaException, bootstrap: Bootstrap, what: str) -> NoReturn:
    """Turn a failed request into the error that a person reads."""
    cause = error.args[0]
    assert isinstance(cause, KafkaError)
    if cause.code() in _UNREACHABLE_CODES:
        raise UnreachableError(
            f"{bootstrap} takes connections but does not answer as a Kafka broker within "
            f"{ANSWER_TIMEOUT_S:g} s ({cause.str()}).\n"
            "Check that the port is the one for clients, and that it needs no TLS."
        ) from error
    raise CommandFailedError(f"{bootstrap} refused the {what} request: {cause.str()}") from error


def fail_stalled(bootstrap: Bootstrap, watch: ConnectionWatch, waited_s: float) -> NoReturn:
    """Nothing moved for `waited_s`: raises UnreachableError with the last thing that was heard."""
    waited = f" for {waited_s:.0f} s" if waited_s >= 1 else ""
    heard = f"; the last error was: {watch.last_error}" if watch.last_error else ""
    raise UnreachableError(
        f"The broker at {bootstrap} answered, but then nothing moved{waited}"
        f"{heard}.\n"
        "If another address than yours is named there, it is the one that the broker advertises: "
        "it must be reachable from here."
    )


_TOPIC_NAME_RULE = (
    "\nA topic name has 1 to 249 characters out of letters, digits, '.', '_' and '-'."
)

_UNREACHABLE_CODES = frozenset(
    (
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError._SSL,
    )
)


def topic_metadata(
    client: Producer | Consumer | AdminClient, bootstrap: Bootstrap, topic: str
) -> TopicMetadata | None:
    """What the broker says about the topic, None if there is none of that name.

    Asked through a producer it may create the topic, as stock producers do; else never.
    Raises UnreachableError, or CommandFailedError for an illegal name and what else the broker
    refuses.
    """
    deadline = clock.monotonic() + ANSWER_TIMEOUT_S
    while True:
        try:
            metadata = client.list_topics(topic, timeout=ANSWER_TIMEOUT_S).topics[topic]
        except KafkaException as failure:
            fail_request(failure, bootstrap, "metadata")
        error = metadata.error
        if error is None:
            return metadata
        if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return None
        if error.code() != KafkaError.LEADER_NOT_AVAILABLE or clock.monotonic() > deadline:
            hint = _TOPIC_NAME_RULE if error.code() == KafkaError.TOPIC_EXCEPTION else ""
            raise CommandFailedError(f"Topic {topic!r}: {error.str()}.{hint}")


def fail_unknown_topic(bootstrap: Bootstrap, topic: str) -> NoReturn:
    """Raises CommandFailedError for a topic that does not exist."""
    raise CommandFailedError(
        f"There is no topic {topic!r} on {bootstrap}.\n"
        f"See the topics with: tierbroker topic ls\nMake it with: tierbroker topic new {topic}"
    )
