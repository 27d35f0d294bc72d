"""What the service counts, in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client import generate_latest as text_of
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The service's figures, in a registry of their own.

    Args:
        under_way: how many requests for answers are read, wait or are computed.
        waiting: how many of them wait for a worker.
    """

    def __init__(self, *, under_way: Callable[[], float], waiting: Callable[[], float]) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "bertling_requests",
            "Requests by path and status; from 400 on, a status is an error.",
            ["path", "status"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "bertling_request_seconds",
            "From a request's head to the end of its answer, of /predict.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.model_seconds = Histogram(
            "bertling_model_seconds",
            "Of these, what the model took, tokenisation included.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.texts = Counter("bertling_texts", "Texts that were answered.", registry=self._registry)
        for name, what, value in (
            ("bertling_requests_under_way", "Requests of /predict that have no answer yet.", under_way),
            ("bertling_requests_waiting", "Of these, those that wait for a worker.", waiting),
        ):
            Gauge(name, what, registry=self._registry).set_function(value)

    def response(self) -> Response:
        """The figures as an answer."""
        # With its charset, which Starlette would add a second time.
        return Response(text_of(self._registry), headers={"content-type": CONTENT_TYPE_LATEST})


class Counted:
    """An application whose requests are counted and timed, also those that it fails on.

    Args:
        app: the application.
        metrics: where.
        paths: that are told apart; all others are counted together, so that nobody can make up series.
        timed: the path whose seconds are noted.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, *, paths: set[str], timed: str) -> None:
        self._app, self._metrics, self._paths, self._timed = app, metrics, paths, timed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        start = perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        path = scope["path"] if scope["path"] in self._paths else "other"
        try:
            await self._app(scope, receive, noting)
        finally:
            self._metrics.requests.labels(path, str(status)).inc()
            if path == self._timed:
                self._metrics.seconds.observe(perf_counter() - start)
