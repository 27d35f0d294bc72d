from __future__ import annotations

import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from tests.report.page_reader import Reader

from bertling.cli.report import report
from bertling.errors import RunFolderError
from bertling.report import render_report, write_report
from bertling.report.numbers import NOTHING, TIMES
from bertling.report.texts import TEXT_LIMIT
from bertling.results import HistoryPoint, Results


def changed(results: Results, **changes: Any) -> Results:
    return results.model_copy(update=changes)


def test_the_figures_of_the_run_are_on_the_page(results: Results) -> None:
    text = Reader(render_report(results)).text
    expected = [
        "harbour-4l-312", "task harbour-notes",
        "97.0%", f"9.4{TIMES}", f"7.6{TIMES}",
        "accuracy 90.4, teacher 93.1", "6.52 ms, teacher 61.3 ms: median at batch 1 on 1 thread",
        "57.4 MB, teacher 438 MB", "distillation adds 5.7 points of accuracy",
        f"Majority class 50.9 {NOTHING} {NOTHING} {NOTHING} {NOTHING} {NOTHING}",
        f"TF-IDF + logistic regression 80.2 48.2 k 1.20 0.417 0.583 147{TIMES}",
        f"labels alone 84.6 14.4 M 57.4 6.55 9.33 9.4{TIMES}",
        f"4 layers, width 312 90.4 14.4 M 57.4 6.52 9.18 9.4{TIMES}",
        f"12 layers, width 768 93.1 109 M 438 61.3 88.0 1.0{TIMES}",
        "layer 12", "attention + hidden", "prediction",
        "6,300 steps, 3 epochs.", "22,500 steps, 10 epochs.", "mean of 4 logged ones",
        "57 of 872 texts (6.5%). Below, 4, the most confident first.",
        "99.7%", "98.1%", "96.4%", "91.3%", "88.7%", "74.2%", "61.2%", "53.8%",
        "Hardly a ripple, if one ignores the gale.", "The gate moves with the tide.",
        "rough 428 3 92.9 90.3 84.9 89.4 91.1", "calm 444 21 93.3 90.5 84.3 91.3 89.6",
        "67,349 examples", "872 examples", "train.tsv and test.tsv", "calm, rough",
        "128 tokens; 1.7% of texts were cut",
        "prune",
        "teacher 1 h 12 min", "general 2 h 45 min", "intermediate 2 h 0 min", "prediction 11 min 53 s",
        "baseline 11 min 28 s", "evaluate 1 min 35 s", "report 0.4 s", "together 6 h 21 min",
        "2026-11-20T14:03:00+00:00", "4f1c2d9a7be0", "Example EPYC 9004, 16 cores, 8 threads", "67.4 GB",
        "Accelerator none", "3.11.9", "torch 2.13.0+cpu", "transformers 5.23.0", "bertling run recipe.toml",
    ]  # fmt: skip
    assert [figure for figure in expected if figure not in text] == []


def test_the_first_and_last_loss_of_every_term_is_on_the_page(results: Results) -> None:
    point = HistoryPoint(
        step=10, epoch=0.1, tokens=800, loss=7.654, learning_rate=1e-4, gradient_norm=None,
        terms={"embedding": 1.111, "attention.1": 2.222, "hidden.1": 3.333},
    )  # fmt: skip
    last = point.model_copy(
        update={"step": 20, "loss": 0.7654, "terms": {name: v / 10 for name, v in point.terms.items()}}
    )
    text = Reader(render_report(changed(results, histories={"intermediate": [point, last]}))).text
    for row in (
        "weighted sum 7.65 0.765",
        "embedding 1.11 0.111",
        "attention, layer 1 2.22 0.222",
        "hidden, layer 1 3.33 0.333",
    ):
        assert row in text


def test_hostile_text_shows_as_text_everywhere(results: Results) -> None:
    hostile = (
        "</title></style><script>f('1')</script> \"both\" & 'single' <img src=x onerror=f(1)> {{ 7 * 7 }}"
    )
    disagreement = results.disagreements[0].model_copy(
        update=dict.fromkeys(("text", "text_pair", "label", "teacher", "student"), hostile)
    )
    page = render_report(
        changed(
            results,
            name=hostile,
            task=hostile,
            initialization=hostile,
            yardsticks={hostile: results.yardsticks["tfidf"], f"{hostile}2": results.yardsticks["majority"]},
            histories={
                hostile: [results.histories["baseline"][0].model_copy(update={"terms": {hostile: 0.5}})]
            },
            wall_seconds={hostile: 3.0},
            disagreements=[disagreement],
            data=results.data.model_copy(
                update={"task": hostile, "source": hostile, "label_names": [hostile]}
            ),
            environment=results.environment.model_copy(
                update={"date": hostile, "commit": hostile, "cpu": hostile, "versions": {hostile: hostile}}
            ),
        )
    )
    reader = Reader(page)
    assert Counter(tag for tag, _ in reader.elements)["script"] == 0
    assert Counter(tag for tag, _ in reader.elements)["img"] == 0
    assert not [name for _, attrs in reader.elements for name in attrs if name.startswith("on")]
    assert reader.text.count(hostile) >= 15


@pytest.mark.parametrize("content", [b"\xff", b"{", b'{"name": ' + b"[" * 100_000])
def test_a_file_that_is_no_result_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "results.json").write_bytes(content)
    with pytest.raises(RunFolderError):
        report(tmp_path)


def test_a_million_layers_are_not_drawn(results: Results, tmp_path: Path) -> None:
    written = json.loads(results.model_dump_json()) | {"teacher_layers": 10**6}
    (tmp_path / "results.json").write_text(json.dumps(written))
    with pytest.raises(RunFolderError, match="teacher_layers"):
        report(tmp_path)


@pytest.mark.parametrize(
    "field", ["student.size_bytes", "data.train_examples", "latency_threads", "disagreement_count"]
)
def test_counts_beyond_all_measure_are_refused(results: Results, tmp_path: Path, field: str) -> None:
    written = json.loads(results.model_dump_json())
    *path, last = field.split(".")
    (written[path[0]] if path else written)[last] = 10**400
    (tmp_path / "results.json").write_text(json.dumps(written))
    with pytest.raises(RunFolderError, match=field):
        report(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"), [("score", 1e308), ("score", -1e306), ("metric", "best_answer_f1")]
)
def test_scores_that_no_run_has_do_not_stop_the_report(results: Results, field: str, value: Any) -> None:
    student = results.student.model_copy(update={field: value})
    page = render_report(changed(results, student=student, wall_seconds={"teacher": math.nan}))
    assert f"teacher {NOTHING} together {NOTHING}" in Reader(page).text


def test_unseen_characters_show_as_their_codes(results: Results) -> None:
    text = "before \u202eturned\u202c \u2066isolate\x00\x1b[31m\ud800 after"
    row = results.disagreements[0].model_copy(update={"text": text})
    page = render_report(changed(results, disagreements=[row], name="a\u202eb"))
    assert "before ⟨U+202E⟩turned⟨U+202C⟩ ⟨U+2066⟩isolate⟨U+0000⟩⟨U+001B⟩[31m⟨U+D800⟩ after" in page
    assert "a⟨U+202E⟩b" in page
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", page)
    page.encode()


def test_joiners_and_other_scripts_are_left_alone(results: Results) -> None:
    text = "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \U0001f469\u200d\U0001f680 \u4f60\u597d"
    row = results.disagreements[0].model_copy(update={"text": text})
    assert text in render_report(changed(results, disagreements=[row]))


def test_long_texts_are_cut_and_say_so(results: Results) -> None:
    row = results.disagreements[0].model_copy(update={"text": "x" * (TEXT_LIMIT + 1234)})
    page = render_report(changed(results, disagreements=[row]))
    assert "x" * TEXT_LIMIT + "… (1,234 characters more)" in page
    assert "x" * (TEXT_LIMIT + 1) not in page


def test_nothing_outside_the_page_is_referred_to(results: Results) -> None:
    page = render_report(results)
    reader = Reader(page)
    references = [
        value
        for name in ("src", "href", "srcset", "action", "data", "poster")
        for value in reader.attributes(name)
    ]
    assert references == ["data:,"], "the empty icon, so that no browser asks for one"
    assert not re.search(r"@import|url\(|https?://|//cdn", page)
    assert "script" not in {tag for tag, _ in reader.elements}
    assert "default-src 'none'" in page


def test_ids_are_unique_and_every_chart_has_a_title_and_a_description(results: Results) -> None:
    page = render_report(results)
    reader = Reader(page)
    ids = reader.attributes("id")
    assert [name for name, count in Counter(ids).items() if count > 1] == []
    referred = {name for value in reader.attributes("aria-labelledby") for name in value.split()}
    assert referred <= set(ids)
    charts = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(charts) == 4 + len(results.histories)
    for chart in charts:
        svg = ElementTree.fromstring(chart)
        assert svg.get("role") == "img"
        assert svg.findtext("title")
        assert svg.findtext("desc")


def test_layers_are_tied_only_by_losses_that_the_student_was_trained_with(results: Results) -> None:
    histories = {stage: results.histories[stage] for stage in ("teacher", "prediction", "baseline")}
    text = Reader(render_report(changed(results, histories=histories))).text
    assert "student's logits from teacher's logits: prediction" in text
    assert "student's layer 2 from teacher's layer 6: no loss" in text
    assert "Dashed: no loss of this run uses it." in text


def test_a_regression_without_baseline_and_retention(results: Results) -> None:
    spearman = {"metric": "spearman", "score": -0.021}
    assert results.teacher
    page = render_report(
        changed(
            results,
            teacher=results.teacher.model_copy(update=spearman),
            student=results.student.model_copy(update={**spearman, "score": 0.117}),
            baseline=None,
            yardsticks={},
            score_retention=None,
            data=results.data.model_copy(update={"kind": "regression", "label_names": None}),
        )
    )
    text = Reader(page).text
    assert f"{NOTHING} of the score kept" in text
    assert "not defined where the teacher scores zero or less" in text
    assert f"Spearman {TIMES} 100" in text
    assert "labels alone, the same shape" not in text
    assert "The 4 texts on which they differ most." in text
    assert "a number to predict" in text
    assert "99.7%" not in text, "a number has no confidence"
    assert "✓" not in text


def test_sentence_embeddings_end_in_an_embedding_and_not_in_logits(results: Results) -> None:
    data = results.data.model_copy(update={"kind": "sentence_embeddings", "label_names": None})
    text = Reader(render_report(changed(results, data=data))).text
    assert "student's text embedding from teacher's text embedding: prediction" in text
    assert "logits" not in text
    assert "The 4 pairs whose cosines differ most; labels have the data's scale." in text
    assert "Labels how similar the texts of a pair are, as a number" in text


def test_a_run_that_measured_next_to_nothing(results: Results) -> None:
    bare = {
        "parameters": None,
        "size_bytes": None,
        "latency_ms_p50": None,
        "latency_ms_p95": None,
        "layers": None,
        "width": None,
    }
    assert results.teacher
    page = render_report(
        changed(
            results,
            teacher=results.teacher.model_copy(update=bare),
            student=results.student.model_copy(update=bare),
            baseline=None,
            yardsticks={},
            wall_seconds={},
            layer_map={},
            teacher_layers=0,
            histories={},
            disagreements=[],
            disagreement_count=0,
            environment=results.environment.model_copy(update={"commit": None, "versions": {}}),
        )
    )
    text = Reader(page).text
    assert "No latency was measured." in text
    assert "They choose the same label for every text." in text
    assert "Training losses" not in text
    assert "Commit not known" in text
    assert "None" not in text


def test_a_loss_that_is_not_a_number_does_not_stop_the_report(results: Results) -> None:
    history = [
        point.model_copy(update={"loss": math.nan, "terms": dict.fromkeys(point.terms, math.nan)})
        for point in results.histories["baseline"]
    ]
    student = results.student.model_copy(update={"score": math.nan})
    text = Reader(render_report(changed(results, histories={"baseline": history}, student=student))).text
    assert f"labels {NOTHING} {NOTHING}" in text
    assert "nan" not in text.split()


def test_a_large_run_stays_a_small_page(results: Results) -> None:
    terms = {f"{term}.{layer}": 1.0 / layer for term in ("attention", "hidden") for layer in range(1, 13)}
    history = [
        HistoryPoint(
            step=50 * n,
            epoch=n / 100,
            tokens=4000 * n,
            loss=1.0,
            learning_rate=1e-4,
            gradient_norm=1.0,
            terms=terms,
        )
        for n in range(1, 2001)
    ]
    row = results.disagreements[0].model_copy(update={"text": "long " * 5000})
    page = render_report(
        changed(
            results,
            histories={"general": history, "intermediate": history},
            layer_map={layer: 2 * layer for layer in range(1, 13)},
            teacher_layers=24,
            disagreements=[row] * 20,
        )
    )
    assert len(page.encode()) < 200_000


def test_the_report_is_written_whole(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(results, path)
    assert path.read_text(encoding="utf-8") == render_report(results)
    assert list(tmp_path.iterdir()) == [path]


def test_a_report_that_fails_leaves_the_old_one(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("the old report", encoding="utf-8")

    def full(self: Path, target: Path) -> Path:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        write_report(results, path)
    assert path.read_text(encoding="utf-8") == "the old report"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "latency", [{"latency_ms_p50": -1.0}, {"latency_ms_p95": -2.0}, {"latency_ms_p95": 0.0}]
)
def test_a_time_that_cannot_be_is_not_drawn(results: Results, latency: dict[str, float]) -> None:
    student = results.student.model_copy(update=latency)
    page = render_report(results.model_copy(update={"student": student}))
    assert "Distilled student: 90.4, not timed" in page
