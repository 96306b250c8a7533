"""The node's HTTP endpoint: where it listens, and which page is answered by which part.

The pages of parts that are not there yet answer 503. Listening can never keep a broker from
starting unless an address was asked for by name.
"""

import asyncio
import logging
from collections.abc import Callable

from tierbroker.base.clock import Clock
from tierbroker.base.errors import ListenError
from tierbroker.base.executor import Executor
from tierbroker.hot.config_origin import BrokerLayer, ConfigSource
from tierbroker.node.addresses import WILDCARDS
from tierbroker.node.health import Health, Phase
from tierbroker.node.settings import Settings
from tierbroker.server.config import (
    DEFAULT_HTTP_PORT,
    DEFAULT_KAFKA_PORT,
    HTTP_LISTENER,
    parse_http_listener,
)
from tierbroker.server.http import HttpServer
from tierbroker.server.http_messages import (
    Handler,
    HttpRequest,
    HttpResponse,
    Reply,
    error_response,
    text_response,
)
from tierbroker.server.limits import ListenerConfig

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"


class HttpEndpoint:
    """Listens from the start on, so that the time before the node is ready can be seen."""

    def __init__(
        self,
        settings: Settings,
        listeners: list[ListenerConfig],
        health: Health,
        *,
        loop: asyncio.AbstractEventLoop,
        executor: Executor,
        clock: Clock,
    ) -> None:
        """Raises ListenError where an address was configured and cannot be listened on."""
        self._health = health
        self._routes: dict[str, dict[str, Handler]] = {
            "/healthz": {"GET": lambda _: text_response("ok")},
            "/readyz": {"GET": self._ready},
        }
        self._server: HttpServer | None = None

        def listen(host: str, port: int) -> HttpServer:
            return HttpServer(host, port, self._routes, loop=loop, executor=executor, clock=clock)

        wanted = settings.values.text(HTTP_LISTENER)
        if wanted is None:
            self._server = _listen_anywhere(listen, listeners)
        elif wanted:
            self._server = listen(*parse_http_listener(wanted))

    @property
    def address(self) -> str:
        """ "host:port" where it listens, empty when it is off."""
        if self._server is None:
            return ""
        host, port = self._server.address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def url(self) -> str | None:
        """Where to look from this machine, None when it is off."""
        if self._server is None:
            return None
        host, port = self._server.address
        shown = LOOPBACK if host in WILDCARDS else host
        return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"

    @property
    def layer(self) -> BrokerLayer:
        """What DescribeConfigs says of it: the command line finds it there."""
        return BrokerLayer(ConfigSource.STATIC_BROKER_CONFIG, {HTTP_LISTENER: self.address})

    def add_page(self, path: str, **methods: Handler) -> None:
        """Answer a path: `add_page("/metrics", GET=handler)`. 503 until the node has started."""
        self._routes[path] = {name: self._once_serving(each) for name, each in methods.items()}

    def close(self) -> None:
        """End it; what is being answered is cancelled."""
        if self._server is not None:
            self._server.close()

    def _once_serving(self, handler: Handler) -> Handler:
        def handle(request: HttpRequest) -> Reply:
            if self._health.phase is not Phase.SERVING:
                return error_response("; ".join(self._health.reasons()), 503)
            return handler(request)

        return handle

    def _ready(self, _: HttpRequest) -> HttpResponse:
        reasons = self._health.reasons()
        return text_response("\n".join(reasons) or "ready", 503 if reasons else 200)


def _listen_anywhere(
    listen: Callable[[str, int], HttpServer], listeners: list[ListenerConfig]
) -> HttpServer | None:
    """On the default port beside a broker on Kafka's, else on a free one of this machine alone."""
    is_default = any(listener.port == DEFAULT_KAFKA_PORT for listener in listeners)
    if is_default:
        try:
            return listen(LOOPBACK, DEFAULT_HTTP_PORT)
        except ListenError as error:
            logger.warning("%s A free port is taken for now.", error)
    try:
        return listen(LOOPBACK, 0)
    except ListenError as error:
        logger.warning("the broker goes on without HTTP: %s", error)
        return None
