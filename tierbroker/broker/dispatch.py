"""From a frame to an answer: header, version check, decode, handler, encode.

The boundary between one client's request and the broker: whatever a request provokes closes that
client's connection and nothing else (D-14). Only a broken invariant (AssertionError) goes
further: it stops the node.
"""

import importlib
import inspect
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from tierbroker.base.errors import CloseConnection
from tierbroker.base.parts import Part
from tierbroker.base.pending import Pending
from tierbroker.base.story import tell, until
from tierbroker.base.tasks import TaskSupervisor
from tierbroker.base.turns import next_turn
from tierbroker.broker.api import ApiSpec, RequestContext
from tierbroker.broker.services import BrokerServices
from tierbroker.broker.session import Session
from tierbroker.wire import codecs
from tierbroker.wire.api_keys import ApiKey
from tierbroker.wire.errors import DecodeError
from tierbroker.wire.header import decode_request_header, encode_response_header
from tierbroker.wire.long_answers import encode_slices, is_long
from tierbroker.wire.peer import Peer

if TYPE_CHECKING:
    from tierbroker.wire.codecs import Codec

logger = logging.getLogger(__name__)

Answer = list[Part] | None
Reply = Answer | Pending[Answer]


class Route:
    """An API with its codec and handler, imported when the first request of its kind arrives."""

    __slots__ = ("codec", "count", "handle", "spec")

    def __init__(self, spec: ApiSpec) -> None:
        self.spec = spec
        self.count = 0
        """Requests since the start."""
        self.handle: Callable[[Any, RequestContext], Any] | None = None
        self.codec: Codec

    def load(self) -> Callable[[Any, RequestContext], Any]:
        """Import codec and handler."""
        self.codec = codecs.load(self.spec.key)
        module = importlib.import_module(f"tierbroker.broker.handlers.{self.spec.module}")
        handle: Callable[[Any, RequestContext], Any] = module.handle
        self.handle = handle
        return handle


class Dispatcher:
    """The callable that the server is given: frame in, answer out."""

    def __init__(
        self, specs: Iterable[ApiSpec], broker: BrokerServices, supervisor: TaskSupervisor
    ) -> None:
        self._routes = {int(spec.key): Route(spec) for spec in specs}
        self._broker = broker
        self._supervisor = supervisor
        self.refused = 0
        """Requests since the start whose connection was closed."""

    def counts(self) -> Iterator[tuple[str, int]]:
        """The APIs that were asked for since the start, and how often."""
        from tierbroker.wire.messages.index import APIS

        for route in self._routes.values():
            if route.count:
                yield APIS[int(route.spec.key)].name, route.count

    def __call__(self, peer: Peer, frame: bytearray | memoryview) -> Reply:
        """Answer one request; raises CloseConnection when the client must be turned away."""
        try:
            return self._answer(peer, frame)
        except AssertionError:
            raise
        except CloseConnection:
            self.refused += 1
            raise
        except DecodeError as error:
            self.refused += 1
            raise CloseConnection(f"malformed request: {error}") from error
        except Exception as error:
            self.refused += 1
            logger.exception("request of %s:%s failed", peer.client_host, peer.client_port)
            # D-14: one request never stops the broker.
            raise CloseConnection("the request failed inside the broker") from error

    def preload(self, keys: Iterable[ApiKey]) -> None:
        """Import what nearly every client asks for first, so that no request pays for it."""
        for key in keys:
            self._routes[int(key)].load()

    def _answer(self, peer: Peer, frame: bytearray | memoryview) -> Reply:
        header = decode_request_header(frame)
        version = header.api_version
        route = self._routes.get(header.api_key)
        if route is None or not route.spec.min_version <= version <= route.spec.max_version:
            return self._refuse_version(header.api_key, version, header.correlation_id)
        handle = route.handle or route.load()
        route.count += 1
        request = route.codec.decode_request(frame, header.body_position, version)
        session = peer.session
        if session is None:
            session = peer.session = Session()
        assert isinstance(session, Session)
        context = RequestContext(self._broker, peer, session, version, header.client_id)
        response = handle(request, context)
        if response is None:
            return None
        if type(response) is Pending:
            return self._when_done(response, route, version, header.correlation_id)
        if inspect.iscoroutine(response):
            return self._run(response, route, version, header.correlation_id)
        if is_long(route.spec.key, response):
            answer: Pending[Answer] = Pending()
            self._settle(answer, route, version, header.correlation_id, response)
            return answer
        return _encode(route, version, header.correlation_id, response)

    def _refuse_version(self, api_key: int, version: int, correlation_id: int) -> Answer:
        """KIP-511: an unknown version of ApiVersions is answered in version 0; others hang up."""
        if api_key != ApiKey.API_VERSIONS:
            raise CloseConnection(f"API key {api_key} version {version} is not supported")
        from tierbroker.broker.handlers.api_versions import unsupported_version

        route = self._routes[ApiKey.API_VERSIONS]
        if route.handle is None:
            route.load()
        return _encode(route, 0, correlation_id, unsupported_version())

    def _when_done(
        self, pending: Pending[Any], route: Route, version: int, correlation_id: int
    ) -> Pending[Answer]:
        answer: Pending[Answer] = Pending(on_cancel=pending.cancel)

        def finish(done: Pending[Any]) -> None:
            if done.error is not None:
                answer.fail(self._closing(done.error, route))
            else:
                self._settle(answer, route, version, correlation_id, done.result())

        pending.on_done(finish)
        return answer

    def _run(
        self,
        handling: Coroutine[Any, Any, Any],
        route: Route,
        version: int,
        correlation_id: int,
    ) -> Pending[Answer]:
        answer: Pending[Answer] = Pending()

        async def run() -> None:
            try:
                response = await handling
            except Exception as error:  # noqa: BLE001 - it closes the connection
                answer.fail(self._closing(error, route))
            else:
                self._settle(answer, route, version, correlation_id, response)

        self._supervisor.start(run(), name=f"handle {route.spec.module}")
        return answer

    def _settle(
        self,
        answer: Pending[Answer],
        route: Route,
        version: int,
        correlation_id: int,
        response: Any,
    ) -> None:
        """Resolve a pending answer with the response, over several turns where it is long.

        One that cannot be encoded closes the connection: whoever finished the work, in whose turn
        this begins, must not hear of it.
        """
        if response is None:
            answer.resolve(None)
            return
        if not is_long(route.spec.key, response):
            # Nearly all, and all of Produce and Fetch: these pay for no story.
            try:
                encoded = _encode(route, version, correlation_id, response)
            except Exception as error:  # noqa: BLE001 - it closes the connection
                answer.fail(self._closing(error, route))
            else:
                answer.resolve(encoded)
            return

        def finish(done: Pending[list[Part]]) -> None:
            if done.error is not None:
                answer.fail(self._closing(done.error, route))
            else:
                answer.resolve(done.result())

        encoding = tell(self._encode_long(route, version, correlation_id, response))
        answer.on_cancel = encoding.cancel
        encoding.on_done(finish)

    async def _encode_long(
        self, route: Route, version: int, correlation_id: int, response: Any
    ) -> list[Part]:
        key = route.spec.key
        header = encode_response_header(key, version, correlation_id)
        pieces: list[Part] = []
        for piece in encode_slices(key, route.codec.encode_response, response, version, header):
            pieces.append(piece)
            await until(next_turn(self._broker.scheduler))
        return pieces

    def _closing(self, error: BaseException, route: Route) -> BaseException:
        """What the connection is told of a request that failed later: to close, no more (D-14)."""
        if not isinstance(error, Exception) or isinstance(error, AssertionError):
            return error
        self.refused += 1
        if isinstance(error, CloseConnection):
            return error
        logger.error("%s request failed", route.spec.key.name, exc_info=error)
        return CloseConnection(f"the request failed inside the broker: {error}")


def _encode(route: Route, version: int, correlation_id: int, response: Any) -> list[Part]:
    header = encode_response_header(route.spec.key, version, correlation_id)
    return route.codec.encode_response(response, version, header)
