"""The report's section on attention, without a browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from tests.report import attended
from tests.report.page_reader import Reader

from bertling.report import render_report
from bertling.results import Results
from bertling.results_of_attention import AttentionResults, HeadFigures, attention_of_run, digest_of_student


def page_of(results: Results, **changes: object) -> str:
    analysis = attended.attention(results.environment).model_copy(update=changes)
    return render_report(results, attention=analysis)


def data_of(page: str) -> dict[str, object]:
    match = re.search(r'id="attention-data">(.*?)</script>', page, re.DOTALL)
    assert match
    found: dict[str, object] = json.loads(match[1])
    return found


def test_what_the_heads_look_at_is_on_the_page(results: Results) -> None:
    text = Reader(page_of(results)).text
    expected = [
        "5,123 tokens of 200 evaluated texts",
        "72 of the teacher's 144 and 24 of the student's 48 heads give more than half of their attention to "
        "[CLS] and [SEP].",
        "Of the student's 48 heads, 44 are more like the teacher's head that they were compared with",
        "Attention to [SEP] Teacher",
        "Mean 36.5% and 32.5%; uniform 4.0%; most 74.0%.",
        "Attention to the previous token",
        "Entropy, nats",
        "Mean 1.65 and 1.25; uniform 3.20; most 2.20.",
        "Entropy by layer",
        "Is attention to special tokens a no-op?",
        "Marks: punctuation.",
        "the plane shows 43.2% of the variance",
        "none of these",
        "layer 12, head 2: 74.0%",
        "the next token",
    ]
    assert [sentence for sentence in expected if sentence not in text] == []


def test_gradients_are_compared_with_those_by_other_tokens(results: Results) -> None:
    text = Reader(page_of(results)).text
    said = {}
    for role, model in attended.attention(results.environment).models.items():
        by_sep = fmean(head.sep_gradient or 0 for head in model.figures) / 0.03
        said[role] = f"{by_sep:#.3g} by [SEP] and {0.02 / 0.03:.3f} by [CLS] in the {role}"
    assert f"Relative to other tokens: {said['teacher']}, {said['student']}." in text


def test_without_an_analysis_the_page_has_neither_section_nor_script(results: Results) -> None:
    page = render_report(results)
    assert 'id="attention"' not in page
    assert "<script" not in page
    assert "script-src" not in page


def test_the_policy_allows_the_one_script_by_its_hash(results: Results) -> None:
    page = page_of(results)
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert "default-src 'none'" in page
    assert Counter(tag for tag, _ in Reader(page).elements)["script"] == 2
    assert not re.search(r"@import|url\(|//cdn", page)
    assert set(re.findall(r'https?://[^"]*', page)) == {"http://www.w3.org/2000/svg"}, "a name, no address"


def test_ids_stay_unique(results: Results) -> None:
    ids = Reader(page_of(results)).attributes("id")
    assert [name for name, count in Counter(ids).items() if count > 1] == []


def test_without_a_separator_nothing_is_said_of_it(results: Results) -> None:
    analysis = attended.attention(results.environment)
    models = {}
    for role, model in analysis.models.items():
        figures: list[HeadFigures] = [
            head.model_copy(update={"to_sep": None, "sep_gradient": None}) for head in model.figures
        ]
        models[role] = model.model_copy(update={"figures": figures})
    uniform = analysis.uniform.model_copy(update={"to_sep": None})
    text = Reader(page_of(results, sep_token=None, models=models, uniform=uniform)).text
    assert "[SEP]" not in text.split("noscript")[0].split("In single texts")[0]
    assert "Attention to [CLS]" in text


def test_a_student_alone_has_one_chart_of_each_kind(results: Results) -> None:
    analysis = attended.attention(results.environment)
    alone = {"student": analysis.models["student"]}
    page = page_of(results, models=alone, examples=[])
    assert 'id="student-to-sep-title"' in page
    assert 'id="teacher-to-sep-title"' not in page
    assert "attention-viewer" not in page.split("</style>")[1]
    assert "<script" not in page
    assert "script-src" not in page


def test_hostile_tokens_show_as_text(results: Results) -> None:
    hostile = "</script><script>alert(1)</script><img src=x onerror=f(1)>\u202e"
    analysis = attended.attention(results.environment)
    first = analysis.examples[0].model_copy(update={"tokens": [hostile, *analysis.examples[0].tokens[1:]]})
    page = page_of(results, examples=[first], sep_token=hostile, cls_token="<b>")
    reader = Reader(page)
    assert Counter(tag for tag, _ in reader.elements)["script"] == 2
    assert Counter(tag for tag, _ in reader.elements)["img"] == 0
    shown = data_of(page)["texts"]
    assert shown[0]["tokens"][0] == hostile.replace("\u202e", "⟨U+202E⟩")  # type: ignore[index]
    assert "\u202e" not in page


def write(run: Path, analysis: AttentionResults) -> None:
    (run / "attention.json").write_text(analysis.model_dump_json(), encoding="utf-8")


def test_an_analysis_of_another_student_is_not_shown(results: Results, tmp_path: Path) -> None:
    assert attention_of_run(tmp_path) is None
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "model.safetensors").write_bytes(b"weights")
    analysis = attended.attention(results.environment)
    write(tmp_path, analysis)
    assert attention_of_run(tmp_path) is None
    own = analysis.model_copy(update={"student_digest": digest_of_student(tmp_path)})
    write(tmp_path, own)
    assert attention_of_run(tmp_path) == own
    (tmp_path / "student" / "model.safetensors").write_bytes(b"others")
    assert attention_of_run(tmp_path) is None
    (tmp_path / "attention.json").write_text("{}", encoding="utf-8")
    assert attention_of_run(tmp_path) is None


def without_a_head(found: dict[str, Any]) -> None:
    del found["models"]["student"]["figures"][-1]


def without_any_heads(found: dict[str, Any]) -> None:
    found["models"]["student"] = {"layers": 4, "heads": 12, "figures": []}


def of_no_layers(found: dict[str, Any]) -> None:
    found["models"]["student"] = {"layers": 0, "heads": 12, "figures": []}


def without_the_student(found: dict[str, Any]) -> None:
    del found["models"]["student"]


def without_what_a_token_gets(found: dict[str, Any]) -> None:
    found["models"]["teacher"]["figures"][3]["to_sep"] = None


def without_bounds(found: dict[str, Any]) -> None:
    found["models"]["teacher"]["figures"][3]["place"] = [1e308, -1e308]


def not_a_number(found: dict[str, Any]) -> None:
    found["models"]["teacher"]["figures"][3]["entropy_nats"] = "nan"


def with_too_few_weights(found: dict[str, Any]) -> None:
    found["examples"][0]["weights"]["teacher"] = "AAAA"


def with_weights_that_are_none(found: dict[str, Any]) -> None:
    found["examples"][0]["weights"]["teacher"] = "<script>"


@pytest.mark.parametrize(
    "broken",
    [
        without_a_head,
        without_any_heads,
        of_no_layers,
        without_the_student,
        without_what_a_token_gets,
        without_bounds,
        not_a_number,
        with_too_few_weights,
        with_weights_that_are_none,
    ],
)
def test_an_analysis_that_cannot_be_drawn_is_left_out(
    results: Results, tmp_path: Path, broken: Callable[[dict[str, Any]], None]
) -> None:
    (tmp_path / "student").mkdir()
    found = attended.attention(results.environment).model_dump(mode="json")
    found["student_digest"] = digest_of_student(tmp_path)
    file = tmp_path / "attention.json"
    file.write_text(json.dumps(found), encoding="utf-8")
    assert attention_of_run(tmp_path) is not None
    broken(found)
    file.write_text(json.dumps(found), encoding="utf-8")
    assert attention_of_run(tmp_path) is None


def test_a_loss_that_no_attention_changes_is_shown(results: Results) -> None:
    models = {}
    for role, model in attended.attention(results.environment).models.items():
        figures = [
            head.model_copy(update=dict.fromkeys(("sep_gradient", "cls_gradient", "other_gradient"), 0.0))
            for head in model.figures
        ]
        models[role] = model.model_copy(update={"figures": figures})
    text = Reader(page_of(results, models=models)).text
    assert "Relative to other tokens: \N{EN DASH} by [SEP] and \N{EN DASH} by [CLS] in the teacher" in text
