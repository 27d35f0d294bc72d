"""The report's table of exports, without a browser, and which exports are a run's."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.report.page_reader import Reader

from bertling.cli.report import report
from bertling.files import digest_of_weights
from bertling.report import render_report
from bertling.report.numbers import NOTHING, TIMES
from bertling.results import Environment, Results
from bertling.results_of_exports import (
    Export,
    ExportedPrecision,
    Precision,
    Trimming,
    exports_of_run,
)


def export(environment: Environment, *rows: ExportedPrecision, digest: str | None = None) -> Export:
    return Export(
        task="harbour-notes",
        metric="accuracy",
        examples=872,
        score=0.9037,
        max_drop=0.01,
        max_length_tokens=128,
        precisions=list(rows),
        environment=environment,
        weights_digest=digest,
    )


def row(
    precision: Precision, size_bytes: int, score: float = 0.9037, agreement: float | None = 1.0
) -> ExportedPrecision:
    return ExportedPrecision(
        precision=precision,
        size_bytes=size_bytes,
        score=score,
        largest_logit_difference=0.0421 if precision == "int8" else 1.2e-6,
        label_agreement=agreement,
    )


@pytest.fixture
def run(results: Results, tmp_path: Path) -> Path:
    """A run folder with a student, one trimmed, and exports of both."""
    for folder, size in (("student", 1), ("trimmed", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.safetensors").write_bytes(b"weights" * size)
    digests = [digest_of_weights(tmp_path / folder) for folder in ("student", "trimmed")]
    rows = row("float32", 57_400_000), row("int8", 15_100_000, 0.9002, 0.9874)
    for place, made in (
        (tmp_path / "export", export(results.environment, *rows, digest=digests[0])),
        (tmp_path / "trimmed" / "export", export(results.environment, rows[1], digest=digests[1])),
    ):
        for precision in made.precisions:
            (place / precision.precision).mkdir(parents=True)
            file = place / precision.precision / "export.json"
            file.write_text(made.model_dump_json(), encoding="utf-8")
    trimming = Trimming(
        texts=1,
        min_count=1,
        pieces_before=9,
        pieces_after=8,
        parameters_before=90,
        parameters_after=80,
        student_digest=digests[0],
    )
    (tmp_path / "trimmed" / "trimming.json").write_text(trimming.model_dump_json(), encoding="utf-8")
    (tmp_path / "results.json").write_text(results.model_dump_json(), encoding="utf-8")
    return tmp_path


def shown(run: Path) -> str:
    report(run)
    return Reader((run / "report.html").read_text(encoding="utf-8")).text


def test_each_precision_is_compared_with_pytorch_and_the_teacher(run: Path) -> None:
    text = shown(run)
    expected = [
        "Exports Precision Size, MB Smaller Accuracy, % In PyTorch Same answers Largest logit difference",
        f"float32 57.4 7.6{TIMES} 90.4 90.4 100.0% 1.20·10⁻⁶",
        f"int8 15.1 29.0{TIMES} 90.0 90.4 98.7% 0.0421",
        f"int8 trimmed student 15.1 29.0{TIMES}",
        "Each was asked 872 examples, from the text on",
    ]
    assert [part for part in expected if part not in text] == []


def test_without_exports_there_is_no_table(results: Results, run: Path) -> None:
    assert 'id="exports"' not in render_report(results)
    assert 'id="exports"' not in render_report(results, exports={"student": export(results.environment)})


def test_an_export_by_another_metric_is_not_shown(results: Results) -> None:
    other = export(results.environment, row("int8", 1)).model_copy(update={"metric": "best_answer_f1"})
    assert 'id="exports"' not in render_report(results, exports={"student": other})


def test_what_is_not_known_has_no_number(results: Results) -> None:
    unknown = export(results.environment, row("int8", 0, agreement=None))
    text = Reader(
        render_report(results.model_copy(update={"teacher": None}), exports={"student": unknown})
    ).text
    assert f"int8 0.00 {NOTHING} 90.4 90.4 {NOTHING} 0.0421" in text


def test_exports_of_another_student_are_not_shown(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(exports_of_run(run)) == ["student", "trimmed student"]
    (run / "student" / "model.safetensors").write_bytes(b"trained again")
    assert exports_of_run(run) == {}, "what was trimmed was the student of before"
    assert "Exports" not in shown(run)
    said = " ".join(capsys.readouterr().out.split())
    assert f"left out {run / 'export'}, which is of another student or version of bertling" in said
    assert f"anew: bertling trim {run}, and bertling export {run / 'trimmed'}" in said


def test_an_export_of_what_was_trimmed_before_is_not_shown(run: Path) -> None:
    (run / "trimmed" / "model.safetensors").write_bytes(b"trimmed again")
    assert list(exports_of_run(run)) == ["student"]


def test_an_export_that_does_not_say_of_what_is_not_shown(results: Results, run: Path) -> None:
    written = export(results.environment, row("int8", 1))
    (run / "export" / "int8" / "export.json").write_text(
        written.model_dump_json(exclude={"weights_digest"}), encoding="utf-8"
    )
    rows = exports_of_run(run)["student"].precisions
    assert [found.precision for found in rows] == ["float32"]


@pytest.mark.parametrize("content", [b"\xff", b"{", b"{}", b"[" * 100_000, b'{"task": "<script>"}'])
def test_broken_files_are_none(run: Path, content: bytes) -> None:
    (run / "export" / "int8" / "export.json").write_bytes(content)
    (run / "export" / "float32" / "export.json").unlink()
    (run / "export" / "float32" / "export.json").mkdir()
    (run / "trimmed" / "trimming.json").write_bytes(content)
    assert exports_of_run(run) == {}
    assert "Exports" not in shown(run)


def test_sizes_that_no_file_has_are_refused(run: Path) -> None:
    file = run / "export" / "int8" / "export.json"
    file.write_text(file.read_text().replace("15100000", "9" * 400), encoding="utf-8")
    assert [found.precision for found in exports_of_run(run)["student"].precisions] == ["float32"]


def test_a_precision_that_is_said_twice_has_one_row(results: Results, run: Path) -> None:
    digest = digest_of_weights(run / "student")
    many = export(results.environment, *[row("int8", 7_000_000)] * 5000, digest=digest)
    for precision in ("float32", "int8"):
        (run / "export" / precision / "export.json").write_text(many.model_dump_json(), encoding="utf-8")
    assert exports_of_run(run)["student"].precisions == [row("int8", 7_000_000)]
