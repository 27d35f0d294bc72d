"""Files that are made to do harm, or look like it: bombs, endless lines, values that no text should hold."""

from __future__ import annotations

import datetime
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertling.data import lines, unpacking
from bertling.data.corpus import read_corpus
from bertling.data.loading import read_examples
from bertling.data.tables import read_columns
from bertling.errors import DataError
from bertling.tasks import Task

pytestmark = pytest.mark.faults

TASK = Task("t")
ANSWERS = Task(
    "t", text="question", text_pair="context", label="answers", question_answering=True, metric="answer_f1"
)


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MOST_UNPACKED_BYTES", 100_000)
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 50_000)


def packed(path: Path, content: bytes) -> Path:
    path.write_bytes(
        gzip.compress(content) if path.suffix == ".gz" else pa.compress(content, "zstd", asbytes=True)
    )
    return path


@pytest.mark.parametrize("line", [b"\n", b"a man\t1\n", b"\0" * 1000 + b"\n"])
@pytest.mark.parametrize("name", ["train.tsv.gz", "corpus.txt.gz", "corpus.txt.zst"])
@pytest.mark.usefixtures("small_limits")
def test_a_file_that_unpacks_to_far_more_than_text_does_is_refused(
    tmp_path: Path, name: str, line: bytes
) -> None:
    path = packed(tmp_path / name, b"text\tlabel\n" + line * (1_000_000 // len(line)))
    with pytest.raises(DataError, match=r"unpacks to more than [\d,]+ bytes, 100 times its own size"):
        read_columns(path, ["text"]) if "tsv" in name else list(read_corpus(path))


@pytest.mark.usefixtures("small_limits")
def test_a_packed_file_of_ordinary_text_is_no_bomb(tmp_path: Path) -> None:
    rows = "".join(f"text {number}\t{number % 2}\n" for number in range(20_000))
    path = packed(tmp_path / "train.tsv.gz", b"text\tlabel\n" + rows.encode())
    assert len(read_columns(path, ["text"]).places) == 20_000


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("train.tsv", b"text\tlabel\n"),
        ("train.csv", b"text,label\n"),
        ("train.jsonl", b"{}\n"),
        ("train.conll", b"a X\n"),
    ],
)
@pytest.mark.usefixtures("small_limits")
def test_a_line_without_an_end_is_refused_before_it_is_in_memory(
    tmp_path: Path, name: str, start: bytes
) -> None:
    (tmp_path / name).write_bytes(start + b"\0" * 60_000)
    task = Task("t", text="words", label="labels", word_labels=True) if "conll" in name else TASK
    with pytest.raises(DataError, match="line 2 is longer than 0 MiB"):
        read_examples(tmp_path / name, task)


@pytest.mark.usefixtures("small_limits")
def test_a_squad_file_may_be_one_long_line(tmp_path: Path) -> None:
    asked = {"question": "who", "answers": [{"text": "a", "answer_start": 0}]}
    paragraphs = [{"context": "a" * 1000, "qas": [asked]} for _ in range(200)]
    path = tmp_path / "train.json"
    path.write_text(json.dumps({"data": [{"title": ["no text"], "paragraphs": paragraphs}]}))
    assert len(read_examples(path, ANSWERS).texts) == 200


@pytest.mark.usefixtures("small_limits")
def test_parquet_that_repeats_a_value_many_times_is_no_way_around_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    pq.write_table(pa.table({"text": ["x" * 1000] * 2000, "label": [1] * 2000}), path)
    assert path.stat().st_size < 10_000
    with pytest.raises(DataError, match="unpacks to more than"):
        read_columns(path, ["text"])
    with pytest.raises(DataError, match="unpacks to more than"):
        list(read_corpus(path))


def test_a_date_that_python_has_not_is_refused_with_its_row(tmp_path: Path) -> None:
    days = pa.array([0, 2**31 - 1], pa.int32()).cast(pa.date32())
    assert days[0].as_py() == datetime.date(1970, 1, 1)
    pq.write_table(pa.table({"text": days, "label": [0, 1]}), tmp_path / "train.parquet")
    with pytest.raises(DataError, match="'text' cannot be read: row 2"):
        read_columns(tmp_path / "train.parquet", ["text"])
    with pytest.raises(DataError, match="'text' cannot be read: row 2"):
        list(read_corpus(tmp_path / "train.parquet"))


def test_a_whole_column_of_different_labels_is_read_at_once(tmp_path: Path) -> None:
    # Each label was once looked for in the list of all: hours for a column of texts taken for labels.
    path = tmp_path / "train.tsv"
    path.write_text("text\tlabel\n" + "".join(f"a man\t{number}\n" for number in range(60_000)))
    examples = read_examples(path, TASK)
    assert examples.label_names is not None
    assert len(examples.label_names) == 60_000


@pytest.mark.parametrize(
    ("task", "row"),
    [
        (TASK, {"text": "a", "label": "\ud800"}),
        (Task("t", multi_label=True), {"text": "a", "label": ["x", "\ud800"]}),
        (Task("t", text="words", label="labels", word_labels=True), {"words": ["\ud800"], "labels": ["X"]}),
        (Task("t", text="words", label="labels", word_labels=True), {"words": ["a"], "labels": ["\ud800"]}),
    ],
)
def test_half_a_character_is_refused_wherever_it_stands(
    tmp_path: Path, task: Task, row: dict[str, object]
) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps(row))
    with pytest.raises(DataError, match="holds a lone surrogate, which is no character: line 1"):
        read_examples(path, task)


def test_a_place_of_thousands_of_digits_is_no_number(tmp_path: Path) -> None:
    path = tmp_path / "train.tsv"
    path.write_text(f"question\tcontext\tanswers\tanswer_start\nwho\ta man\ta\t{'9' * 5000}\n")
    with pytest.raises(DataError, match="the start of the answer 'a' is no whole number: line 2"):
        read_examples(path, ANSWERS)
