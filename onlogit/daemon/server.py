"""The HTTP server in a thread of its own: Uvicorn around the application, on a socket that is bound before anything starts."""

import asyncio
import socket
import threading

import uvicorn

from onlogit.daemon.http import Application
from onlogit.daemon.metrics import Metrics
from onlogit.daemon.protocol import Protocol
from onlogit.daemon.routes import routes
from onlogit.daemon.security import Gate
from onlogit.daemon.service import Service
from onlogit.daemon.settings import ServerSettings
from onlogit.errors import ConfigError

BACKLOG = 1024
CONNECTIONS = 2_000


def bind(server: ServerSettings) -> socket.socket:
    """A socket that listens; ConfigError where the address cannot be had."""
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((server.host, server.port))
        bound.listen(BACKLOG)
        bound.set_inheritable(False)
    except OSError as error:
        bound.close()
        raise ConfigError(f"cannot listen on {server.host} port {server.port}: {error.strerror or error}") from error
    return bound


class Server:
    """Serves from `start` until `stop`."""

    def __init__(self, service: Service, bound: socket.socket, gate: Gate) -> None:
        settings = service.settings.server
        self.service, self.metrics = service, Metrics(service)
        self._bound = bound
        application = Application(routes(service, self.metrics), gate, settings.max_body, self.metrics.observe)
        self._uvicorn = uvicorn.Server(
            uvicorn.Config(
                application, http=Protocol, lifespan="off", interface="asgi3", ws="none", proxy_headers=False,
                log_config=None, log_level="warning", access_log=False, server_header=False, date_header=False,
                ssl_certfile=settings.tls_cert or None, ssl_keyfile=settings.tls_key or None,
                limit_concurrency=CONNECTIONS, timeout_keep_alive=75,
                timeout_graceful_shutdown=max(int(settings.drain_seconds / 2), 1),
            )
        )  # fmt: skip
        self._up = threading.Event()
        self.failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="onlogit http", daemon=True)

    @property
    def address(self) -> str:
        """The URL."""
        host, port = self._bound.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        return f"http{'s' if self._uvicorn.config.ssl_keyfile else ''}://{shown}:{port}"

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to serve; what is asked before the service is ready is refused with 503."""
        self._thread.start()
        self._up.wait(10.0)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._uvicorn.config.get_loop_factory()) as runner:
                runner.run(self._serve())
        except BaseException as error:
            self.failed = error
        finally:
            self._up.set()

    async def _serve(self) -> None:
        self.service.delivery.loop = asyncio.get_running_loop()
        self._up.set()
        await self._uvicorn.serve(sockets=[self._bound])

    def stop(self, seconds: float) -> None:
        """Accept no more, finish what is being answered, within the time."""
        self._uvicorn.should_exit = True
        self._thread.join(seconds)
