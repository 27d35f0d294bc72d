"""The report's section on answers by label, without a browser."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.report import labelled
from tests.report.page_reader import Reader

from bertling.cli.report import report
from bertling.errors import RunFolderError
from bertling.report import render_report
from bertling.report.numbers import MINUS, NOTHING
from bertling.results import ByLabel, Results, read_results


def page_of(results: Results, found: ByLabel | None) -> str:
    return render_report(results.model_copy(update={"by_label": found}))


def text_of(results: Results, found: ByLabel | None) -> str:
    return Reader(page_of(results, found)).text


THREE = labelled.by_label(
    ["ebb", "flood", "slack"],
    teacher=[[90, 10, 0], [5, 95, 0], [0, 0, 4]],
    student=[[88, 12, 0], [20, 79, 1], [0, 0, 4]],
    baseline=[[100, 0, 0], [100, 0, 0], [4, 0, 0]],
)


def test_labels_stand_in_the_order_of_what_the_student_loses(results: Results) -> None:
    text = text_of(results, THREE)
    expected = [
        "By label Of 2 of 3 labels the student finds fewer examples than its teacher, of 0 more.",
        "Label Examples Lost Teacher F1 Student F1 Baseline F1 Student precision Student recall",
        # 95 and 79 of 100; precision 79 of 91, baseline never
        "flood 100 16 92.7 82.7 0.0 86.8 79.0",
        "ebb 100 2 92.3 84.6 65.8 81.5 88.0",
        "slack 4 0 100.0 88.9 0.0 80.0 100.0",
    ]
    assert [row for row in expected if row not in text] == []
    assert text.index("flood 100 16") < text.index("ebb 100 2") < text.index("slack 4 0")


def test_labels_that_the_student_finds_more_of_come_last(results: Results) -> None:
    better = labelled.by_label(["ebb", "flood"], teacher=[[8, 2], [0, 5]], student=[[9, 1], [0, 5]])
    text = text_of(results, better)
    assert "Of 0 of 2 labels the student finds fewer examples than its teacher, of 1 more." in text
    assert text.index("flood 5 0 83.3") < text.index(f"ebb 10 {MINUS}1 88.9")
    assert "Baseline F1" not in text


def test_without_a_teacher_the_frequent_ones_come_first(results: Results) -> None:
    text = text_of(results, labelled.by_label(["ebb", "flood"], student=[[2, 1], [0, 9]]))
    assert "The most frequent first." in text
    assert "Label Examples Student F1 Student precision Student recall flood 9 94.7 90.0 100.0 ebb 3" in text
    assert "Lost" not in text


def test_what_is_not_defined_has_no_number(results: Results) -> None:
    text = text_of(
        results, labelled.by_label(["ebb", "flood"], student=[[3, 0], [0, 0]], teacher=[[3, 0], [0, 0]])
    )
    assert f"flood 0 {NOTHING} {NOTHING} {NOTHING} {NOTHING} {NOTHING}" in text


def matrix_cells(page: str, role: str) -> list[dict[str, str | None]]:
    section = page.split(f'<h3 id="confusion-{role}">')[1].split("</figure>")[0]
    return [attrs for tag, attrs in Reader(section.partition("</h3>")[2]).elements if tag == "td"]


def test_few_labels_have_a_matrix_of_either_model(results: Results) -> None:
    page = page_of(results, THREE)
    cells = matrix_cells(page, "student")
    assert len(cells) == 1 + 3 * 3
    assert cells[4]["title"] == "flood, answered ebb: 20 of 100 (20.0%)"
    assert cells[4]["class"] == "wrong"
    assert cells[5]["title"] == "flood, answered flood: 79 of 100 (79.0%)"
    assert cells[5]["class"] == "right"
    assert cells[3]["class"] == "none"
    # The shade is the root of the share.
    assert (cells[4]["style"], cells[9]["style"]) == ("--share:20%", "--share:45%")
    assert matrix_cells(page, "teacher")[4]["title"] == "flood, answered ebb: 5 of 100 (5.0%)"
    assert "ebb 88 12 0 flood 20 79 1 slack 0 0 4" in Reader(page).text


def test_no_answer_has_a_column_and_words_of_chunks_say_so(results: Results) -> None:
    rows = [
        row.model_copy(update={"answer": None}) if row.answer == "slack" else row for row in THREE.confusions
    ]
    found = THREE.model_copy(update={"unit": "chunk", "confusions": rows})
    page = page_of(results, found)
    text = Reader(page).text
    assert "By type of chunk Of 2 of 3 types the student finds fewer chunks" in text
    assert "ebb flood slack no answer ebb 88 12 0 0" in text
    assert "Words, by the type of the chunk that they stand in" in text


def test_150_labels_are_folded_and_their_confusions_listed(results: Results) -> None:
    page = page_of(results, labelled.many(150))
    reader, text = Reader(page), Reader(page).text
    assert 'id="confusion-student"' not in page
    shown, folded = page.split("<summary>130 more labels</summary>")
    by_label = shown.split('id="by-label"')[1]
    assert by_label.count("intent ") == 20
    assert folded.split("</details>")[0].count("intent ") == 130
    assert "Of 75 of 150 labels the student finds fewer examples than its teacher, of 0 more." in text
    assert "The 20 pairs that the student confuses most often" in text
    assert "intent 0 intent 1 0 1" in text
    assert Counter(tag for tag, _ in reader.elements)["script"] == 0
    assert len(page.encode()) < 250_000


def test_labels_beyond_a_thousand_are_left_to_the_file(results: Results) -> None:
    first = THREE.labels[0]
    labels = [first.model_copy(update={"label": f"tide {index}"}) for index in range(1500)]
    page = page_of(results, ByLabel(unit="example", labels=labels))
    assert "480 further labels stand in results.json." in page
    assert page.count("tide ") == 1020


def test_hostile_labels_show_as_text(results: Results) -> None:
    hostile = "</td><script>f(1)</script><img src=x onerror='f(1)'> \"&amp; {{ 7 * 7 }}\u202e"
    shown = hostile.replace("\u202e", "⟨U+202E⟩")
    for count in (2, 40):
        names = [f"{hostile}{index}" for index in range(count)]
        student = [[2 if row == column else 1 for column in range(count)] for row in range(count)]
        page = page_of(results, labelled.by_label(names, student=student, teacher=student))
        reader = Reader(page)
        tags = Counter(tag for tag, _ in reader.elements)
        assert tags["script"] == tags["img"] == 0
        assert not [name for _, attrs in reader.elements for name in attrs if name.startswith("on")]
        assert reader.text.count(shown) >= 2 * count
        assert f"{shown}1" in reader.text
        assert "\u202e" not in page


def test_a_long_label_is_cut(results: Results) -> None:
    page = page_of(results, labelled.by_label(["x" * 5000, "flood"], student=[[1, 0], [0, 1]]))
    assert "x" * 120 + "… (4,880 characters more)" in page
    assert "x" * 121 not in page


def test_results_of_before_have_no_section(results: Results, tmp_path: Path) -> None:
    written = json.loads(results.model_dump_json())
    del written["by_label"]
    (tmp_path / "results.json").write_text(json.dumps(written), encoding="utf-8")
    before = read_results(tmp_path / "results.json")
    assert before.by_label is None
    page = render_report(before)
    assert 'id="by-label"' not in page
    assert ".matrix" not in page
    assert 'id="by-label"' not in page_of(results, ByLabel(unit="example", labels=[]))


@pytest.mark.parametrize(
    ("field", "value"),
    [("support", -1), ("support", 10**400), ("student", {"precision": 1.5, "recall": None, "f1": None})],
)
def test_impossible_figures_are_refused(results: Results, tmp_path: Path, field: str, value: Any) -> None:
    written = json.loads(results.model_copy(update={"by_label": THREE}).model_dump_json())
    written["by_label"]["labels"][0][field] = value
    (tmp_path / "results.json").write_text(json.dumps(written), encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"by_label\.labels\.0"):
        report(tmp_path)


def test_a_share_that_is_no_number_is_refused(results: Results, tmp_path: Path) -> None:
    text = results.model_copy(update={"by_label": THREE}).model_dump_json()
    assert '"recall":0.88' in text
    (tmp_path / "results.json").write_text(text.replace('"recall":0.88', '"recall":NaN'), encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"by_label\.labels\.0\.student\.recall"):
        report(tmp_path)


def test_confusions_of_labels_that_are_nowhere_else_are_shown_all_the_same(results: Results) -> None:
    stray = THREE.confusions[0].model_copy(update={"reference": "elsewhere", "answer": "nowhere"})
    text = text_of(results, THREE.model_copy(update={"confusions": [stray, stray]}))
    assert "ebb flood slack elsewhere nowhere" in text
