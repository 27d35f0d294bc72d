"""``bertling export`` of runs and saved models, and ``bertling predict`` with what it writes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.inference import graphs
from tests.pipeline import glue_data, words

import bertling
from bertling.cli import main
from bertling.errors import DataError, ExportError, ModelError
from bertling.pipeline.judging import evaluate_model
from bertling.results_of_exports import Export
from bertling.tasks import GLUE

NAMES = ["not_equivalent", "equivalent"]


def feed(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    stream: Any = SimpleNamespace(buffer=io.BytesIO(content), isatty=lambda: False)
    monkeypatch.setattr(sys, "stdin", stream)


@pytest.mark.slow
def test_a_saved_model_is_exported_and_asked_from_files_and_streams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = glue_data.write_labelled(tmp_path, "mrpc")
    model = glue_data.write_model(tmp_path / "model", names=NAMES)
    output = tmp_path / "export"
    arguments = ["export", model, "--data", str(data), "--task", "mrpc", "--output", str(output)]
    assert main([*arguments, "--precisions", "float32", "int8", "--max-drop", "0.9"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert f"wrote {output / 'int8'}" in printed
    assert f"next: bertling predict {output / 'int8'} FILE" in printed

    answers = tmp_path / "answers.jsonl"
    folder = str(output / "float32")
    assert main(["predict", folder, str(data / "dev.tsv"), "--output", str(answers), "--workers", "2"]) == 0
    rows = [json.loads(line) for line in answers.read_text().splitlines()]
    assert len(rows) == 16
    assert set(rows[0]["probabilities"]) == set(NAMES)
    feed(monkeypatch, b'{"a": "w0 w5", "#2 String": "w7"}\n')
    assert main(["predict", folder, "--format", "jsonl", "--text", "a"]) == 0
    assert json.loads(capsys.readouterr().out)["label"] in NAMES

    figures = Export.model_validate_json((output / "int8" / "export.json").read_text())
    (dev,) = evaluate_model(model, data, GLUE["mrpc"]).sets
    assert figures.score == pytest.approx(dev.figures["f1"])
    assert figures.examples == 16


def test_a_run_knows_its_task_its_limit_and_its_examples(finished: words.Run, run: Path) -> None:
    export = bertling.export(run, precisions=["bfloat16"])
    assert (export.task, export.examples, export.max_length_tokens) == ("words", 24, 8)
    assert json.loads((run / "export" / "bfloat16" / "config.json").read_text())["dtype"] == "bfloat16"
    # and can be checked on other examples
    other = bertling.export(run, precisions=["bfloat16"], data=finished.folder.parent / "train.tsv")
    assert other.examples == 64


def test_the_report_of_a_run_shows_its_exports(
    run: Path, finished: words.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["export", str(run), "--precisions", "bfloat16"]
    (run / "report.html").unlink()
    assert main(arguments) == 0
    assert not (run / "report.html").exists(), "a run without a report gets none"

    (run / "results.json").write_text(finished.results.model_dump_json(), encoding="utf-8")
    (run / "report.html").write_text("the old one", encoding="utf-8")
    assert main(arguments) == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert 'id="exports"' in page
    assert ">bfloat16<" in page
    assert f"wrote {run / 'report.html'}" in " ".join(capsys.readouterr().out.split())

    (run / "results.json").write_text("{}", encoding="utf-8")
    assert main(arguments) == 0
    assert "the report stays as it was" in " ".join(capsys.readouterr().out.split())
    assert (run / "report.html").read_text(encoding="utf-8") == page


def test_a_run_that_is_not_done_is_refused(run: Path) -> None:
    (run / "stages" / "data" / "test.parquet").unlink()
    with pytest.raises(DataError, match=r"no longer holds the set .* with --data"):
        bertling.export(run)
    (run / "student").rename(run / "elsewhere")
    with pytest.raises(ModelError, match="no student yet"):
        bertling.export(run)


def test_a_saved_model_needs_data_task_and_output(tmp_path: Path) -> None:
    model = glue_data.write_model(tmp_path / "model", names=NAMES)
    with pytest.raises(ExportError, match=r"is no run folder.*Give --data, --task, --output"):
        bertling.export(model)
    with pytest.raises(ExportError, match=r"got max_drop = 1\.5"):
        bertling.export(model, max_drop=1.5)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["{folder}", "nowhere.txt"], "no file nowhere.txt"),
        (["{folder}", "{folder}"], "is not known"),
        (["{folder}", "--workers", "0"], "Must be >= 1"),
        (["{folder}", "--format", "xml"], "xml"),
        (["{folder}", "--output", "{folder}/no/answers.jsonl"], "there is no folder"),
    ],
)
def test_bad_questions_end_with_2_and_a_message(
    tmp_path: Path,
    arguments: list[str],
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = graphs.write_folder(tmp_path / "export")
    feed(monkeypatch, b"w1\n")
    assert main(["predict", *(argument.format(folder=folder) for argument in arguments)]) == 2
    captured = capsys.readouterr()
    assert problem in " ".join(captured.err.replace("│", " ").split())
    assert not captured.out


def test_an_error_in_the_middle_leaves_no_answers_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = graphs.write_folder(tmp_path / "export")
    feed(monkeypatch, b"w1\n" * 2000 + b"\n")
    assert main(["predict", str(folder), "--output", str(tmp_path / "answers.jsonl")]) == 2
    assert "line 2001 is empty" in capsys.readouterr().err
    assert [found.name for found in tmp_path.iterdir()] == ["export"]


def test_standard_input_is_answered_without_torch_and_readers_may_leave_early(tmp_path: Path) -> None:
    folder = graphs.write_folder(tmp_path / "export")
    program = """
import sys
from bertling.cli import main
code = main(["predict", sys.argv[1]])
assert not {"torch", "transformers", "sklearn", "scipy", "datasets"} & set(sys.modules)
sys.exit(code)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder)],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(b"w1 w2\n" * 5000)
    process.stdin.close()
    assert json.loads(process.stdout.readline())["label"] in graphs.LABELS["classification"]
    process.stdout.close()
    assert process.wait() == 0, process.stderr.read()
    process.stderr.close()
