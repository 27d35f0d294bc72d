"""Soft labels in columns of the data."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertling.data.examples import Examples
from bertling.data.held_out import hold_out
from bertling.data.soft_labels import read_soft_test, read_soft_train
from bertling.errors import DataError
from bertling.tasks import Task

TASK = Task("mine")
NAMED = Task("mine", labels={"1": "up", "0": "down"})
COLUMNS = {"up": "p_up", "down": "p_down"}


def write(path: Path, rows: list[list[object]], header: str = "text label p_down p_up") -> Path:
    table: list[list[object]] = [[*header.split()], *rows]
    lines = ["\t".join(map(str, row)) for row in table]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_probabilities_stand_in_the_order_of_the_classes_and_add_up_to_one(tmp_path: Path) -> None:
    rows: list[list[object]] = [["a", "up", 0.2, 0.8], ["b", "down", 1, 0], ["c", "up", 0.334, 0.674]]
    path = write(tmp_path / "train.tsv", rows)
    inferred = read_soft_train(path, TASK, COLUMNS)
    assert inferred.label_names == ["down", "up"]
    assert inferred.labels == [1, 0, 1]
    assert inferred.soft_labels is not None
    assert inferred.soft_labels[:2] == [[0.2, 0.8], [1.0, 0.0]]
    assert inferred.soft_labels[2] == pytest.approx([0.334 / 1.008, 0.674 / 1.008])

    numbered = write(tmp_path / "named.tsv", [["a", 1, 0.2, 0.8]])
    named = read_soft_train(numbered, NAMED, COLUMNS)
    assert (named.label_names, named.labels, named.soft_labels) == (["up", "down"], [0], [[0.8, 0.2]])


def test_every_kind_of_file_is_read_alike(tmp_path: Path) -> None:
    table = {"text": ["a", "b"], "label": ["up", "down"], "p_up": [0.75, 0.25], "p_down": [0.25, 0.75]}
    pq.write_table(pa.table(table), tmp_path / "train.parquet")
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "train.csv").write_text("p_up,p_down,label,text\n.75,.25,up,a\n0.25,7.5e-1,down,b\n")
    read = [
        read_soft_train(tmp_path / f"train.{kind}", TASK, COLUMNS) for kind in ("parquet", "jsonl", "csv")
    ]
    assert read[0] == read[1] == read[2]
    assert read[0].soft_labels == [[0.25, 0.75], [0.75, 0.25]]


def test_texts_without_labels_are_enough_to_train_on(tmp_path: Path) -> None:
    path = write(tmp_path / "train.tsv", [["a", 0.2, 0.8], ["b", 0.9, 0.1]], "text p_down p_up")
    examples = read_soft_train(path, TASK, COLUMNS)
    assert (examples.labels, examples.label_names) == (None, ["down", "up"])
    examples.save(tmp_path / "saved.parquet")
    assert Examples.load(tmp_path / "saved.parquet") == examples
    with pytest.raises(DataError, match="no column 'label'"):
        read_soft_test(path, TASK, COLUMNS)


def test_a_reported_file_may_have_none_and_may_not_have_some(tmp_path: Path) -> None:
    without = write(tmp_path / "test.tsv", [["a", "up"]], "text label")
    assert read_soft_test(without, TASK, COLUMNS).soft_labels is None
    whole = write(tmp_path / "whole.tsv", [["a", "up", 0.5, 0.5]])
    assert read_soft_test(whole, TASK, COLUMNS).soft_labels == [[0.5, 0.5]]
    part = write(tmp_path / "part.tsv", [["a", "up", 0.5]], "text label p_up")
    with pytest.raises(DataError, match="some soft labels, and none called 'p_down'"):
        read_soft_test(part, TASK, COLUMNS)


def test_numbers_take_the_place_of_a_regressions(tmp_path: Path) -> None:
    path = write(tmp_path / "train.tsv", [["a", 3.5, -2], ["b", 1, 40]], "text label guess")
    examples = read_soft_train(path, Task("mine", regression=True), {"label": "guess"})
    assert (examples.labels, examples.soft_labels) == ([3.5, 1.0], [[-2.0], [40.0]])


def test_each_of_several_labels_has_a_probability_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path / "train.tsv", [["a", "up,down", 0.9, 0.8], ["b", "", 0, 0]])
    examples = read_soft_train(path, Task("mine", multi_label=True), COLUMNS)
    assert (examples.labels, examples.soft_labels) == ([[0, 1], []], [[0.9, 0.8], [0.0, 0.0]])


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (["a", "up", "", 1], "soft label 'p_down' is missing: line 3"),
        (["a", "up", "much", 1], "soft label 'p_down' is not a number: line 3"),
        (["a", "up", "nan", 1], "soft label 'p_down' is not finite: line 3"),
        (["a", "up", 20, 80], r"soft label 'p_down' is below 0 or above 1: line 3(.|\n)*divided by 100"),
        (["a", "up", -0.5, 1.5], "soft label 'p_up' is below 0 or above 1: line 3"),
        (["a", "up", 0.5, 0.45], "do not add up to 1: line 3"),
        (["a", "left", 0.5, 0.5], "unknown label 'left': line 3"),
        (["", "up", 0.5, 0.5], "'text' is empty: line 3"),
    ],
)
def test_what_is_no_probability_is_refused_with_its_line(
    tmp_path: Path, row: list[object], problem: str
) -> None:
    path = write(tmp_path / "train.tsv", [["a", "up", 0.5, 0.5], row])
    with pytest.raises(DataError, match=problem):
        read_soft_train(path, TASK, COLUMNS)


def test_an_empty_cell_of_parquet_and_an_empty_file_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"], "p_up": [None], "p_down": [1.0]}), tmp_path / "train.parquet")
    with pytest.raises(DataError, match="soft label 'p_up' is missing: row 1"):
        read_soft_train(tmp_path / "train.parquet", TASK, COLUMNS)
    with pytest.raises(DataError, match="holds no examples"):
        read_soft_train(write(tmp_path / "train.tsv", []), TASK, COLUMNS)


def test_other_classes_and_columns_than_there_are_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "train.tsv", [["a", 1, 0.5, 0.5]])
    with pytest.raises(DataError, match=r"soft labels of 'up', 'left', and the task mine has 'up', 'down'"):
        read_soft_train(path, NAMED, {"up": "p_up", "left": "p_down"})
    with pytest.raises(DataError, match="no column 'p_left'; the columns are"):
        read_soft_train(path, NAMED, {"up": "p_up", "down": "p_left"})


def test_drawing_and_holding_out_keep_each_texts_own_soft_labels(tmp_path: Path) -> None:
    rows: list[list[object]] = [
        [f"text {n}", "up" if n % 2 else "down", 1 - n / 40, n / 40] for n in range(40)
    ]
    examples = read_soft_train(write(tmp_path / "train.tsv", rows), TASK, COLUMNS)
    parts = hold_out(examples.draw(30, seed=1), fraction=0.2, seed=1)
    for part in parts:
        assert part.soft_labels is not None
        for text, (_, up) in zip(part.texts, part.soft_labels, strict=True):
            assert up == pytest.approx(int(text.split()[1]) / 40)
