"""Questions with answers: SQuAD's json, columns of one's own, and what is refused."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertling.data.examples import Answer, Examples
from bertling.data.held_out import hold_out
from bertling.data.loading import read_examples
from bertling.errors import DataError, ShapeError
from bertling.tasks import Task

TASK = Task("mine", "question", "context", "answers", question_answering=True)
TASK_2 = Task("mine", "question", "context", "answers", question_answering=True, unanswerable=True)
CONTEXT = "Hens lay eggs. Geese guard the yard."


def squad(*asked: dict[str, Any], context: object = CONTEXT) -> dict[str, Any]:
    return {"data": [{"title": "Birds", "paragraphs": [{"context": context, "qas": list(asked)}]}]}


def question(*answers: tuple[object, object], **more: Any) -> dict[str, Any]:
    listed = [{"text": text, "answer_start": start} for text, start in answers]
    return {"id": "1", "question": "Who guards?", "answers": listed, **more}


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_squad_1_and_2_are_read_with_all_right_answers_and_their_articles(tmp_path: Path) -> None:
    one = squad(question(("Geese", 15), ("Geese guard", 15)))
    two = squad(
        question(("Geese", 15), is_impossible=False),
        question(is_impossible=True, plausible_answers=[{"text": "Hens", "answer_start": 0}]),
    )
    read = read_examples(write(tmp_path / "one.json", one), TASK)
    assert (read.texts, read.text_pairs) == (["Who guards?"], [CONTEXT])
    assert read.answers == [[Answer("Geese", 15), Answer("Geese guard", 15)]]
    assert read.groups == ["1 Birds"]
    assert not read.regression
    assert not read.multi_label
    packed = tmp_path / "two.json.gz"
    packed.write_bytes(gzip.compress(json.dumps(two).encode()))
    assert read_examples(packed, TASK_2).answers == [[Answer("Geese", 15)], []]


def test_columns_of_ones_own_say_the_same(tmp_path: Path) -> None:
    expected = [[Answer("Geese", 15)], []]
    row = {"question": "Who guards?", "context": CONTEXT}
    hub = [{**row, "answers": {"text": ["Geese"], "answer_start": [15]}}]
    hub.append({**row, "answers": {"text": [], "answer_start": []}})
    own = [{**row, "answers": [{"text": "Geese", "answer_start": 15}]}, {**row, "answers": None}]
    for name, rows in (("hub", hub), ("own", own)):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(entry) + "\n" for entry in rows), encoding="utf-8")
        read = read_examples(path, TASK_2)
        assert read.answers == expected
        assert read.groups is None
    pq.write_table(pa.Table.from_pylist(hub), tmp_path / "hub.parquet")
    assert read_examples(tmp_path / "hub.parquet", TASK_2).answers == expected
    with (tmp_path / "own.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [[*row, "answers", "answer_start"], [*row.values(), "Geese", " 15"], [*row.values(), "", ""]]
        )
    assert read_examples(tmp_path / "own.csv", TASK_2).answers == expected


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        (question(("Ducks", 15)), r"'Ducks' is not at 15 of its context, nor anywhere.*there stands 'Geese'"),
        (question(("Geese", 14)), r"'Geese' is not at 14 of its context; there stands ' Gees'"),
        (question(("Geese", 99)), "'Geese' starts at 99, and its context has characters 0 to 35"),
        (question(("Geese", -1)), "starts at -1"),
        (question(("Geese", "15")), "start of the answer 'Geese' is no whole number"),
        (question(("Geese", None)), "start of the answer 'Geese' is missing"),
        (question((" ", 4)), "text is empty"),
        (question((None, 4)), "text is missing"),
        (question(), r"no answer: question 1(.|\n)*set unanswerable = true"),
        (question(("Geese", 15), is_impossible=True), "is_impossible is true, and answers say otherwise"),
        (question(is_impossible=False), "is_impossible is false"),
        ({**question(("Geese", 15)), "question": " "}, "'question' is empty"),
        ({**question(), "answers": "Geese"}, "has not the form of answers"),
    ],
)
def test_questions_that_cannot_be_used_are_refused(
    asked: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=problem):
        read_examples(write(tmp_path / "train.json", squad(asked)), TASK)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (squad(question(("Geese", 15)), context=""), "'context' is empty"),
        (squad(question(("Geese", 15)), context=None), "'context' is missing"),
        ({"data": []}, "holds no examples"),
        ({"rows": []}, "not in SQuAD's layout: 'data' is no list"),
        ({"data": [{"title": "Birds"}]}, "'paragraphs' is no list"),
        ([question(("Geese", 15))], "not in SQuAD's layout"),
    ],
)
def test_files_in_another_layout_are_refused(content: object, problem: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=problem):
        read_examples(write(tmp_path / "train.json", content), TASK)


def test_damaged_json_and_unequal_lists_are_refused(tmp_path: Path) -> None:
    (tmp_path / "cut.json").write_text('{"data": [', encoding="utf-8")
    with pytest.raises(DataError, match="not valid json"):
        read_examples(tmp_path / "cut.json", TASK)
    row = {"question": "Who?", "context": CONTEXT, "answers": {"text": ["Geese"], "answer_start": []}}
    with pytest.raises(DataError, match=r"has not the form of answers: line 1"):
        read_examples(write(tmp_path / "train.jsonl", row), TASK)


def examples(groups: list[str] | None) -> Examples:
    contexts = [f"context {number // 3}" for number in range(24)]
    answers = [[Answer("context", 0)]] * 24
    texts = [f"question {number}" for number in range(24)]
    return Examples(texts, contexts, None, None, answers=answers, groups=groups)


@pytest.mark.parametrize("seed", range(3))
def test_a_held_out_part_shares_neither_context_nor_article_with_the_rest(seed: int) -> None:
    for groups in (None, ["all"] * 24, [str(number // 6) for number in range(24)]):
        whole = examples(groups)
        train, held = hold_out(whole, fraction=0.25, seed=seed)
        assert (len(train), len(held)) == (18, 6)
        assert train.text_pairs is not None
        assert held.text_pairs is not None
        assert not set(train.text_pairs) & set(held.text_pairs)
        if groups and len(set(groups)) > 1:
            assert not set(train.groups or ()) & set(held.groups or ())


def test_a_single_context_cannot_be_parted() -> None:
    with pytest.raises(DataError, match="held_out_fraction"):
        hold_out(examples(None).take([0, 1, 2]), fraction=0.5, seed=1)


def test_questions_are_saved_drawn_and_given_to_metrics(tmp_path: Path) -> None:
    whole = Examples(
        ["one?", "two?"],
        [CONTEXT, CONTEXT],
        None,
        None,
        answers=[[Answer("Geese", 15), Answer("yard", 31)], []],
        groups=["a", "b"],
    )
    whole.save(tmp_path / "examples.parquet")
    assert Examples.load(tmp_path / "examples.parquet") == whole
    assert whole.take([1, 0]).answers == [[], [Answer("Geese", 15), Answer("yard", 31)]]
    assert whole.label_array().tolist() == [["Geese", "yard"], []]
    assert whole.take([1]).label_array().tolist() == [[]]
    with pytest.raises(ShapeError, match="answers without contexts"):
        Examples(["one?"], None, None, None, answers=[[]])
