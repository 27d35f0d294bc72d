"""The service as a process: an address, and an end that loses no request."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from bertling.errors import MissingExtraError, ServingError
from bertling.serving.limits import Limits

if TYPE_CHECKING:
    import uvicorn

    from bertling.inference.predictor import Predictor

GRACE_SECONDS = 30
"""so long may requests take that are under way when the service is told to stop"""


def serve(
    predictor: Predictor,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 1,
    limits: Limits | None = None,
    announce: Callable[[str], object] = print,
) -> None:
    """Answer over HTTP until SIGTERM or SIGINT; requests that are under way then are answered first.

    Args:
        predictor: the model, of one worker.
        host: address to listen on; the default takes requests of this machine alone.
        port: 0 takes one that is free.
        workers: requests that are computed at the same time.
        limits: what a request may hold; default: those of `bertling.serving.limits.Limits`.
        announce: is given the service's URL as soon as it takes requests.

    Raises:
        MissingExtraError: a package of the extra ``serve`` is not installed.
        ServingError: the address cannot be had, or fewer workers than one.
    """
    server = make_server(predictor, workers=workers, limits=limits or Limits())
    with listening(host, port) as listener, _stopped_by_signals(server):
        shown = f"[{host}]" if ":" in host else host
        announce(f"http://{shown}:{listener.getsockname()[1]}")
        server.run([listener])


def make_server(predictor: Predictor, *, workers: int, limits: Limits) -> uvicorn.Server:
    """The server without an address: ``run([socket])`` answers until its ``should_exit`` is set.

    Raises:
        MissingExtraError: a package of the extra ``serve`` is not installed.
        ServingError: fewer workers than one.
    """
    for package in ("starlette", "uvicorn", "prometheus_client"):
        if find_spec(package) is None:
            raise MissingExtraError(package, extra="serve", needed_for="a service over HTTP")
    import uvicorn

    from bertling.serving.app import create_app

    if workers < 1:
        raise ServingError(f"got workers = {workers}; expected a number from 1")
    config = uvicorn.Config(
        create_app(predictor, workers=workers, limits=limits),
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    return uvicorn.Server(config)


def listening(host: str, port: int) -> socket.socket:
    """A socket that takes connections.

    Raises:
        ServingError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        created = socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise ServingError(
            f"cannot listen on port {port} of {host} ({error}): give another --port, or a --host that this "
            "machine has"
        ) from error
    # asyncio lets an answer's head and body go out without waiting for each other where it sees that this is
    # TCP, which create_server does not note; else an answer takes 40 ms longer.
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=created.detach())


@contextmanager
def _stopped_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """Stop ends well.

    uvicorn takes the signals while it runs, and raises them again when it has stopped, for what was there
    before. That would end the process by the signal. Before it runs they must count, too.
    """
    if threading.current_thread() is not threading.main_thread():  # where Python takes no signals
        yield
        return

    def stop(number: int, frame: object) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
