"""Texts out of files and streams."""

from __future__ import annotations

import gzip
import io
from dataclasses import replace
from pathlib import Path

import pytest
from tests.inference.graphs import BASE

from bertling.errors import DataError
from bertling.inference.inputs import read_texts

SINGLE = replace(BASE, text="sentence")
PAIRS = replace(BASE, pairs=True, text="left", text_pair="right")
WORDS = replace(BASE, kind="words", text="words")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", 'one "\n two\n'),
        ("a.tsv", 'label\tsentence\n0\tone "\n\n1\t two\n'),
        ("a.csv", 'label,sentence\n0,"one """\n1, two\n'),
        ("a.jsonl", '{"sentence": "one \\""}\n\n{"sentence": " two", "more": 1}\n'),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_texts_are_read_from_every_format(tmp_path: Path, name: str, content: str, packed: bool) -> None:
    path = tmp_path / (f"{name}.gz" if packed else name)
    path.write_bytes(gzip.compress(content.encode()) if packed else content.encode())
    assert list(read_texts(path, SINGLE)) == ['one "', " two"]


def test_pairs_are_read_from_columns(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("right\tleft\tother\nr1\tl1\to1\nr2\tl2\to2\n")
    assert list(read_texts(path, PAIRS)) == [("l1", "r1"), ("l2", "r2")]
    assert list(read_texts(path, PAIRS, text_pair="other")) == [("l1", "o1"), ("l2", "o2")]


@pytest.mark.parametrize("name", ["words.txt", "words.conll"])
def test_words_are_read_from_conlls_layout(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("-DOCSTART- X O\n\nw1 X O\nw2 X B\n\n\nw3 X O\n")
    assert list(read_texts(path, WORDS)) == [["w1", "w2"], ["w3"]]
    assert list(read_texts(path, WORDS, text="2")) == [["X", "X"], ["X"]]


def test_words_are_read_from_lists() -> None:
    stream = io.BytesIO(b'{"words": ["w1", "w2"]}\n')
    assert list(read_texts(stream, WORDS, format="jsonl")) == [["w1", "w2"]]


def test_a_stream_is_read_as_lines_and_no_further_than_it_is_asked() -> None:
    stream = io.BytesIO(b"one\ntwo\n\n")
    texts = read_texts(stream, SINGLE)
    assert [next(texts), next(texts)] == ["one", "two"]
    with pytest.raises(DataError, match="standard input: line 3 is empty"):
        next(texts)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.tsv", "label\tsentense\n0\tone\n", "no column 'sentence'.*Did you mean 'sentense'"),
        ("a.tsv", "", "no column 'sentence'; the columns are \\(none\\)"),
        ("a.tsv", "label\tsentence\n0\n", "line 2 has 1 fields, expected 2"),
        ("a.tsv", "label\tsentence\n0\t\n", "line 2 is empty"),
        ("a.csv", 'sentence\n"one\n', "not valid csv"),
        ("a.jsonl", "{\n", "line 1 is malformed json"),
        ("a.jsonl", "[1]\n", "line 1 is a json list"),
        ("a.jsonl", '{"text": "one"}\n', "line 1 has no key 'sentence'"),
        ("a.jsonl", '{"sentence": null}\n', "line 1 is missing"),
        ("a.txt", b"one\n\xff\n", "not valid UTF-8: line 2"),
        ("a.docx", "one\n", "suffix .docx is not known"),
        ("a.conll", "w1 O\n", "the format conll does not fit"),
    ],
)
def test_bad_files_are_refused_with_the_line(
    tmp_path: Path, name: str, content: str | bytes, problem: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=problem):
        list(read_texts(path, SINGLE))


def test_formats_without_columns_hold_no_pairs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"reads pairs of texts\. Expected tsv or csv or jsonl"):
        list(read_texts(io.BytesIO(b"one\n"), PAIRS))
    with pytest.raises(DataError, match="line 1 has 1 columns"):
        list(read_texts(io.BytesIO(b"w1\n"), WORDS, text="2"))
    with pytest.raises(DataError, match="no file"):
        list(read_texts(tmp_path / "nowhere.txt", SINGLE))


def test_a_message_on_hostile_columns_stays_short(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("\t".join(["f" * 5000] * 100) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="and 80 more") as caught:
        list(read_texts(tmp_path / "a.tsv", SINGLE))
    assert len(str(caught.value)) < 3000
