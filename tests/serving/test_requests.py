"""What the service answers to good, bad, huge and many requests."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.inference import graphs
from tests.serving.service import HOST, JSON, Service, read, running

from bertling import Predictor
from bertling.inference.answers import as_json
from bertling.serving.limits import Limits

LIMITS = Limits(body_bytes=20_000, texts=8, characters=100, requests=64)
GOOD = {"texts": ["w1 w2", "w3"]}


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(graphs.write_folder(tmp_path_factory.mktemp("export") / "float32"))


@pytest.fixture(scope="module")
def service(predictor: Predictor) -> Iterator[Service]:
    with running(predictor, limits=LIMITS) as found:
        yield found


def answers_of(predictor: Predictor, texts: Any) -> list[dict[str, Any]]:
    return [as_json(answer) for answer in predictor.predict(texts)]


@pytest.mark.parametrize(
    "texts",
    [
        ["w1 w2", "w3", " ".join(f"w{word}" for word in range(25))],
        ["naïve \u96ea \U0001f600", "e\u0301 \u202e w5", "w1\u0000w2", "\u0000", "\ufeffw3"],
        ["\u2028w1\nw2\r\nw3"],
        [],
    ],
)
def test_answers_are_the_predictors(service: Service, predictor: Predictor, texts: list[str]) -> None:
    answer = service.predict(texts)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json == {"answers": answers_of(predictor, texts)}
    raw = json.dumps({"texts": texts}, ensure_ascii=False).encode()
    assert service.send("POST", "/predict", raw, {}).json == answer.json


@pytest.mark.parametrize(
    ("settings", "texts"),
    [
        ({"pairs": True}, [["w1", "w2 w3"], ["w4", "w5"]]),
        ({"kind": "words"}, [["w1", "w2"], [f"w{word}" for word in range(12)]]),
        ({"kind": "regression"}, ["w1"]),
        ({"kind": "multi_label"}, ["w1", "w7"]),
    ],
)
def test_every_kind_is_asked_as_the_health_page_shows(
    tmp_path: Path, settings: dict[str, Any], texts: list[Any]
) -> None:
    predictor = Predictor(graphs.write_folder(tmp_path, **settings))
    with running(predictor) as service:
        assert service.predict(texts).json == {"answers": answers_of(predictor, texts)}
        health = service.send("GET", "/health")
        assert health.status == 200
        assert health.json["status"] == "ok"
        assert health.json["labels"] == predictor.manifest.labels
        assert service.send("POST", "/predict", json.dumps(health.json["example"])).status == 200
        wrong = service.predict([{"text": "w1"}])
        assert wrong.status == 422
        assert json.dumps(health.json["example"]) in wrong.json["error"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 400, "is no json"),
        (b'{"texts": ["w1"', 400, "is no json"),
        (b"\xff\xfe\x00\x80", 400, "is no json"),
        (b"[" * 15_000, 400, "is no json"),
        (b'{"texts": ' + b"9" * 5_000 + b"}", 400, "is no json"),
        (b"NaN", 422, "the body is a json float"),
        (b'["w1"]', 422, 'a json list: expected {"texts": ["a text"]}'),
        (b"{}", 422, "there is no key 'texts'"),
        (b'{"text": ["w1"]}', 422, "'text' is not known. Did you mean 'texts'?"),
        (b'{"texts": ["w1"], "\\ud800": 1}', 422, r"'\ud800' is not known"),
        (b'{"texts": "w1"}', 422, "texts is a json str"),
        (b'{"texts": null}', 422, "texts is a json NoneType"),
        (b'{"texts": ["w1", 3]}', 422, "texts[1] is int, expected text"),
        (b'{"texts": ["w1", ["w2", "w3"]]}', 422, "texts[1] is a list of 2, expected text"),
        (b'{"texts": ["w1", " "]}', 422, "texts[1] is empty"),
        (b'{"texts": ["\\ud800"]}', 422, "texts[0] holds a lone surrogate"),
        (json.dumps({"texts": ["w1"] * 9}).encode(), 413, "got 9 texts, and a request may hold 8"),
        (json.dumps({"texts": ["w" * 101]}).encode(), 413, "texts[0] has 101 characters, and 100 are"),
        (b" " * 20_001, 413, "more than 20000 bytes"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_what_to_send(
    service: Service, body: bytes, status: int, message: str
) -> None:
    for sent, settings in ((body, {}), (iter([body[:7], body[7:]]), {"encode_chunked": True})):
        headers = JSON | ({"transfer-encoding": "chunked"} if settings else {})
        answer = service.send("POST", "/predict", sent, headers, **settings)
        assert (answer.status, list(answer.json)) == (status, ["error"])
        assert message in answer.json["error"]


@pytest.mark.parametrize(
    "headers", [{"content-type": "text/plain"}, JSON | {"content-encoding": "gzip"}], ids=str
)
def test_a_body_of_another_kind_is_refused(service: Service, headers: dict[str, str]) -> None:
    answer = service.send("POST", "/predict", json.dumps(GOOD), headers)
    assert answer.status == 415
    assert "send the header" in answer.json["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("POST", "/predict/", 404),
        ("GET", "/%00%f0%9f", 404),
        ("GET", "/predict", 405),
        ("DELETE", "/health", 405),
    ],
)
def test_other_paths_and_methods_are_told_what_there_is(
    service: Service, method: str, path: str, status: int
) -> None:
    answer = service.send(method, path)
    assert answer.status == status
    assert "expected POST /predict, GET /health or GET /metrics" in answer.json["error"]


def test_a_huge_body_is_refused_and_its_connection_goes_on(service: Service, predictor: Predictor) -> None:
    with closing(service.connection()) as connection:
        for body in (b"x" * 8_000_000, (b"x" * 100_000 for _ in range(80))):
            connection.request("POST", "/predict", body, JSON)
            refused = read(connection)
            assert (refused.status, "20000 bytes" in refused.json["error"]) == (413, True)
        connection.request("POST", "/predict", json.dumps(GOOD), JSON)
        assert read(connection).json == {"answers": answers_of(predictor, GOOD["texts"])}


@pytest.mark.parametrize("host", ["[", "a b", "\xff", "[::1"])
def test_a_host_that_is_none_is_no_trouble(service: Service, host: str) -> None:
    answer = service.send("GET", "/elsewhere", headers={"host": host})
    assert answer.status in (400, 404)


def test_random_bytes_never_break_the_service(service: Service) -> None:
    chance = random.Random(0)
    good = json.dumps(GOOD).encode()
    with closing(service.connection()) as connection:
        for _ in range(100):
            body = bytearray(good)
            for _ in range(chance.randrange(1, 4)):
                body[chance.randrange(len(body))] = chance.randrange(256)
            connection.request("POST", "/predict", bytes(body), JSON)
            assert read(connection).status in (200, 400, 422)
    with socket.create_connection((HOST, service.port)) as raw:
        raw.sendall(chance.randbytes(500) + b"\r\n\r\n")
        assert b"400" in raw.recv(1000)
    assert service.predict(["w1"]).status == 200


def test_many_requests_at_once_each_get_their_own_answers(service: Service, predictor: Predictor) -> None:
    def ask(client: int) -> int:
        chance = random.Random(client)
        with closing(service.connection()) as connection:
            for _ in range(10):
                texts = [f"w{chance.randrange(98)} w{chance.randrange(98)}" for _ in range(1 + client % 8)]
                connection.request("POST", "/predict", json.dumps({"texts": texts}), JSON)
                answer = read(connection)
                assert answer.status == 200
                expected = answers_of(predictor, texts)
                assert [row["label"] for row in answer.json["answers"]] == [row["label"] for row in expected]
                got = [[*row["probabilities"].values()] for row in answer.json["answers"]]
                np.testing.assert_allclose(got, [[*row["probabilities"].values()] for row in expected])
        return 10

    before = service.metric('bertling_requests_total{path="/predict",status="200"}')
    with ThreadPoolExecutor(16) as clients:
        assert sum(clients.map(ask, range(16))) == 160
    assert service.metric('bertling_requests_total{path="/predict",status="200"}') == before + 160
