"""The service under load, when it fails, and when it stops."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from time import sleep
from typing import Any

import pytest
from tests.inference import graphs
from tests.serving.service import HOST, JSON, read, running

from bertling import Predictor
from bertling.cli import main
from bertling.errors import MissingExtraError, ServingError
from bertling.inference.answers import Answer, as_json
from bertling.inference.texts import Text
from bertling.serving.limits import Limits
from bertling.serving.server import listening, serve


class Held(Predictor):
    """Answers when it is let go."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked, self.go = Event(), Event()

    def predict(self, texts: Sequence[Text]) -> list[Answer]:
        self.asked.set()
        assert self.go.wait(30)
        return super().predict(texts)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return graphs.write_folder(tmp_path / "float32")


def until(true: Callable[[], bool]) -> None:
    for _ in range(3000):
        if true():
            return
        sleep(0.01)
    raise AssertionError("waited for what never came")


def test_while_the_model_computes_others_are_answered_or_told_to_come_again(folder: Path) -> None:
    held = Held(folder)
    with running(held, workers=1, limits=Limits(requests=2)) as service, ThreadPoolExecutor(2) as clients:
        taken = [clients.submit(service.predict, ["w1"]) for _ in range(2)]
        assert held.asked.wait(30)
        until(lambda: service.metric("bertling_requests_under_way") == 2)
        until(lambda: service.metric("bertling_requests_waiting") == 1)
        assert service.send("GET", "/health").status == 200
        refused = service.predict(["w2"])
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert "ask again later" in refused.json["error"]
        # It is told to stop, and answers those that it has taken.
        service.server.should_exit = True
        held.go.set()
        answers = [future.result() for future in taken]
        assert [answer.status for answer in answers] == [200, 200]
        assert answers[0].json == {"answers": [as_json(Predictor(folder).predict(["w1"])[0])]}


def test_metrics_count_requests_texts_errors_and_seconds(folder: Path) -> None:
    with running(Predictor(folder)) as service:
        for texts in (["w1", "w2"], ["w3"], "w4"):
            service.predict(texts)
        service.send("GET", "/made-up")
        for name, value in {
            'requests_total{path="/predict",status="200"}': 2,
            'requests_total{path="/predict",status="422"}': 1,
            'requests_total{path="other",status="404"}': 1,
            "texts_total": 3,
            "request_seconds_count": 3,
            "model_seconds_count": 2,
            "requests_under_way": 0,
            "requests_waiting": 0,
        }.items():
            assert service.metric(f"bertling_{name}") == value, name
        assert (
            service.metric("bertling_request_seconds_sum") > service.metric("bertling_model_seconds_sum") > 0
        )
        answer = service.send("GET", "/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        assert "made-up" not in answer.body.decode()


def test_who_goes_away_in_the_middle_takes_nobody_along(folder: Path) -> None:
    with running(Predictor(folder), limits=Limits(requests=1)) as service:
        with closing(service.connection()) as connection:
            connection.putrequest("POST", "/predict")
            connection.putheader("content-length", "100")
            connection.endheaders(b'{"texts": [')
            until(lambda: service.metric("bertling_requests_under_way") == 1)
        until(lambda: service.metric("bertling_requests_under_way") == 0)
        assert service.metric('bertling_requests_total{path="/predict",status="499"}') == 1
        assert service.predict(["w1"]).status == 200


def test_a_model_that_answers_nan_is_an_error_of_the_service(tmp_path: Path) -> None:
    weights = graphs.table()
    weights[graphs.tokens("w7")[1]] = float("nan")
    with running(Predictor(graphs.write_folder(tmp_path, weights=weights))) as service:
        answer = service.predict(["w1", "w7"])
        assert (answer.status, "NaN or infinity for the text 'w7'" in answer.json["error"]) == (500, True)
        assert service.predict(["w1"]).status == 200


def test_a_crash_is_logged_and_not_shown(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Crashing(Predictor):
        def predict(self, texts: Sequence[Text]) -> list[Answer]:
            raise ZeroDivisionError("a secret")

    with running(Crashing(folder)) as service:
        answer = service.predict(["w1"])
    assert answer.status == 500
    assert "its log says why" in answer.json["error"]
    assert "a secret" in caplog.text


def test_a_body_that_does_not_come_is_not_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertling.serving.app._BODY_SECONDS", 0.05)
    with running(Predictor(folder)) as service, closing(service.connection()) as connection:
        connection.putrequest("POST", "/predict")
        connection.putheader("content-length", "100")
        connection.endheaders(b'{"texts": [')
        answer = read(connection)
        assert (answer.status, answer.headers["connection"]) == (408, "close")


def test_a_signal_stops_it_when_all_requests_have_their_answers(folder: Path) -> None:
    """The command, in a process without torch; half of a request's body comes after the signal."""
    program = """
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
from bertling.cli import main
sys.exit(main(["serve", sys.argv[1], "--port", "0", "--workers", "2"]))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().partition(f"http://{HOST}:")[2].partition(";")[0])

            def connection() -> closing[HTTPConnection]:
                return closing(HTTPConnection(HOST, port, timeout=30))

            def under_way() -> bool:
                with connection() as other:
                    other.request("GET", "/metrics")
                    return b"bertling_requests_under_way 1.0" in read(other).body

            def refuses() -> bool:
                with connection() as other:
                    try:
                        other.connect()
                    except ConnectionRefusedError:
                        return True
                    return False

            body = json.dumps({"texts": ["w1 w2", "w3"]}).encode()
            with connection() as asking:
                asking.putrequest("POST", "/predict")
                for name, value in (JSON | {"content-length": str(len(body))}).items():
                    asking.putheader(name, value)
                asking.endheaders(body[:9])
                until(under_way)
                process.send_signal(signal.SIGTERM)
                until(refuses)
                asking.send(body[9:])
                answer = read(asking)
            assert process.wait(30) == 0
        finally:
            process.kill()
        assert process.stderr is not None
        assert process.stderr.read() == ""
    expected = [as_json(each) for each in Predictor(folder).predict(["w1 w2", "w3"])]
    assert (answer.status, answer.json) == (200, {"answers": expected})


def test_an_address_that_cannot_be_had_is_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with listening(HOST, 0) as listener:
        # without it, answers wait for the client's system
        assert listener.proto == socket.IPPROTO_TCP
        port = listener.getsockname()[1]
        assert main(["serve", str(folder), "--port", str(port)]) == 2
    assert f"cannot listen on port {port} of {HOST}" in capsys.readouterr().err
    with pytest.raises(ServingError, match="--host that this machine has"):
        listening("192.0.2.1", 0)


def test_what_lets_nothing_in_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServingError, match="texts = 0 as a limit"):
        Limits(texts=0)
    with pytest.raises(ServingError, match="workers = 0"):
        serve(Predictor(folder), workers=0)

    def without(name: str, package: str | None = None) -> Any:
        return None if name == "uvicorn" else find_spec(name, package)

    monkeypatch.setattr("bertling.serving.server.find_spec", without)
    with pytest.raises(MissingExtraError, match=r"bertling\[serve\]"):
        serve(Predictor(folder))
