"""Metrics of requests."""

from tierbroker.base.metrics import Samples, counter, gauge
from tierbroker.broker.dispatch import Dispatcher
from tierbroker.broker.fetch_sessions import FetchSessionCache

REQUESTS = counter("requests_total", "Requests that were understood, by API.", "api")
REFUSED = counter(
    "refused_requests_total",
    "Requests whose connection was closed: not understood, of an unknown version, or failed inside "
    "the broker.",
)
FETCH_SESSIONS = gauge("fetch_sessions", "Incremental fetch sessions that are kept.")

METRICS = (REQUESTS, REFUSED, FETCH_SESSIONS)


def samples(dispatcher: Dispatcher, sessions: FetchSessionCache) -> Samples:
    """Requests since the start."""
    for api, count in dispatcher.counts():
        yield REQUESTS.at(count, api)
    yield REFUSED.at(dispatcher.refused)
    yield FETCH_SESSIONS.at(len(sessions))
