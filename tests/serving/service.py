"""A service in a thread of the test's own process, asked through real connections."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Thread
from typing import Any, NamedTuple

import uvicorn

from bertling import Predictor
from bertling.serving.limits import Limits
from bertling.serving.server import listening, make_server

HOST = "127.0.0.1"
JSON = {"content-type": "application/json"}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Service(NamedTuple):
    port: int
    server: uvicorn.Server

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(HOST, self.port, timeout=30)

    def send(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] = JSON, **settings: Any
    ) -> Answer:
        with closing(self.connection()) as connection:
            connection.request(method, path, body, headers, **settings)
            return read(connection)

    def predict(self, texts: Any) -> Answer:
        return self.send("POST", "/predict", json.dumps({"texts": texts}))

    def metric(self, name: str) -> float:
        lines = self.send("GET", "/metrics").body.decode().splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} ")), 0.0)


def read(connection: http.client.HTTPConnection) -> Answer:
    response = connection.getresponse()
    return Answer(
        response.status, {name.lower(): value for name, value in response.headers.items()}, response.read()
    )


@contextmanager
def running(predictor: Predictor, *, workers: int = 2, limits: Limits | None = None) -> Iterator[Service]:
    server = make_server(predictor, workers=workers, limits=limits or Limits())
    with listening(HOST, 0) as listener:
        thread = Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield Service(listener.getsockname()[1], server)
        finally:
            server.should_exit = True
            thread.join()
