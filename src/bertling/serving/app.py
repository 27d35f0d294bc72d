"""The service as an ASGI application."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from time import perf_counter

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from bertling.errors import BertlingError
from bertling.inference.answers import as_json
from bertling.inference.predictor import Predictor
from bertling.inference.texts import Text
from bertling.serving.asked import example, read_asked
from bertling.serving.limits import Limits
from bertling.serving.metrics import Counted, Metrics

PREDICT, HEALTH, METRICS = "/predict", "/health", "/metrics"
_BODY_SECONDS = 30
_JSON = "application/json"
_DIGITS = 18  # of a length
# As nginx counts it; nobody reads the answer.
_GONE = 499


def create_app(predictor: Predictor, *, workers: int, limits: Limits) -> ASGIApp:
    """The service of one model.

    Args:
        predictor: the model, of one worker.
        workers: requests that are computed at the same time.
        limits: what it takes.
    """
    service = _Service(predictor, workers, limits)
    app = Starlette(
        routes=[
            Route(PREDICT, service.predict, methods=["POST"]),
            Route(HEALTH, service.health),
            Route(METRICS, service.show_metrics),
        ],
        exception_handlers={
            HTTPException: _refused,
            ClientDisconnect: _gone,
            BertlingError: _failed,
            Exception: _failed,
        },
        lifespan=service.lifespan,
    )
    app.router.redirect_slashes = False
    return Counted(app, service.metrics, paths={PREDICT, HEALTH, METRICS}, timed=PREDICT)


class _Service:
    def __init__(self, predictor: Predictor, workers: int, limits: Limits) -> None:
        self._predictor, self._limits = predictor, limits
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="bertling-worker")
        # Both change in the event loop's thread alone.
        self._under_way, self._handed_over = 0, 0
        self.metrics = Metrics(
            under_way=lambda: self._under_way, waiting=lambda: max(0, self._handed_over - workers)
        )

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        yield
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def predict(self, request: Request) -> Response:
        if self._under_way >= self._limits.requests:
            raise HTTPException(
                503,
                f"{self._under_way} requests are under way, and no more are taken: ask again later",
                headers={"retry-after": "1"},
            )
        self._under_way += 1
        try:
            texts = read_asked(await self._body(request), self._predictor.manifest, self._limits)
            answers = await self._answers(texts)
        finally:
            self._under_way -= 1
        self.metrics.texts.inc(len(texts))
        return Response(answers, media_type=_JSON)

    async def health(self, request: Request) -> Response:
        manifest = self._predictor.manifest
        facts = {name: getattr(manifest, name) for name in ("task", "kind", "pairs", "labels", "precision")}
        return JSONResponse({"status": "ok", **facts, "example": json.loads(example(manifest))})

    async def show_metrics(self, request: Request) -> Response:
        return self.metrics.response()

    async def _body(self, request: Request) -> bytes:
        for header, wanted in (("content-type", _JSON), ("content-encoding", "identity")):
            got = request.headers.get(header, wanted).partition(";")[0].strip()
            if got.lower() != wanted:
                raise HTTPException(415, f"got the {header} {got[:60]!r}: send the header {header}: {wanted}")
        most = self._limits.body_bytes
        too_large = HTTPException(
            413, f"the body has more than {most} bytes, which are allowed: send several requests"
        )
        declared = request.headers.get("content-length", "0")
        if declared.isdecimal() and (len(declared) > _DIGITS or int(declared) > most):
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                async for part in request.stream():
                    body += part
                    if len(body) > most:
                        raise too_large
        except TimeoutError:
            raise HTTPException(
                408,
                f"the body did not come within {_BODY_SECONDS} s: send the request again",
                headers={"connection": "close"},
            ) from None
        return bytes(body)

    async def _answers(self, texts: Sequence[Text]) -> bytes:
        self._handed_over += 1
        try:
            # Not in this thread: others are to be read, refused and answered meanwhile.
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._compute, texts)
        finally:
            self._handed_over -= 1

    def _compute(self, texts: Sequence[Text]) -> bytes:
        """In a worker's thread."""
        start = perf_counter()
        answers = self._predictor.predict(texts)
        self.metrics.model_seconds.observe(perf_counter() - start)
        return json.dumps({"answers": [as_json(answer) for answer in answers]}).encode()


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code in (404, 405):
        # Not request.url, which reads the Host header, too, and fails on a bad one.
        asked = f"{request.method} {ascii(request.scope['path'])[1:-1][:60]}"
        detail = f"there is no {asked}: expected POST {PREDICT}, GET {HEALTH} or GET {METRICS}"
    return JSONResponse({"error": detail}, error.status_code, headers=error.headers)


async def _failed(request: Request, error: Exception) -> Response:
    """An error of our own says what to do; of any other the traceback is in the log."""
    own = isinstance(error, BertlingError)
    said = str(error) if own else "the service failed on this request; its log says why"
    return JSONResponse({"error": said}, 500)


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=_GONE)
