from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertling.data import corpus_sample
from bertling.data.corpus import read_corpus
from bertling.data.corpus_sample import sample_corpus, sample_stream

TEXTS = 3000


def texts(count: int = TEXTS, seed: int = 0) -> list[str]:
    chance = random.Random(seed)
    return [
        " ".join(f"word{chance.randrange(1000)}" for _ in range(chance.randrange(1, 30)))
        for _ in range(count)
    ]


@pytest.fixture(autouse=True)
def small_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_sample, "_TEXTS", 400)


def write_lines(path: Path) -> None:
    path.write_text("\n".join(texts()) + "\n", encoding="utf-8")


def write_gzip(path: Path) -> None:
    path.write_bytes(gzip.compress(("\n".join(texts()) + "\n").encode()))


def write_zstd(path: Path) -> None:
    with pa.CompressedOutputStream(str(path), "zstd") as file:
        file.write(("\n".join(texts()) + "\n").encode())


def write_jsonl(path: Path) -> None:
    records = [{"text": text, "more": "x" * 200} for text in texts()]
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def write_parquet(path: Path) -> None:
    pq.write_table(pa.table({"text": texts()}), path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("corpus.txt", write_lines),
        ("corpus.txt.gz", write_gzip),
        ("corpus.zst", write_zstd),
        ("corpus.jsonl", write_jsonl),
        ("corpus.parquet", write_parquet),
    ],
)
def test_the_number_of_texts_is_estimated_from_the_share_that_was_read(
    tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    write(tmp_path / name)
    sample = sample_corpus(tmp_path / name)
    assert sample.texts == texts()[:400]
    assert not sample.counted
    assert sample.total == pytest.approx(TEXTS, rel=0.1)


def test_a_sample_of_a_folder_comes_from_files_all_over_it(tmp_path: Path) -> None:
    for number in range(20):
        lines = [f"file{number} {text}" for text in texts(200, seed=number)]
        (tmp_path / f"{number:02}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    sample = sample_corpus(tmp_path)
    assert len({text.split()[0] for text in sample.texts}) == 8
    assert len(sample.texts) == 400
    assert sample.total == pytest.approx(20 * 200, rel=0.1)


def test_a_small_corpus_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(texts(400)), encoding="utf-8")
    sample = sample_corpus(path)
    assert (sample.texts, sample.total, sample.counted) == (list(read_corpus(path)), 400, True)


def test_so_many_texts_as_are_wanted_are_counted_or_the_most_that_there_can_be(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    write_lines(path)
    few = sample_corpus(path, most=50)
    assert (len(few.texts), few.total, few.counted) == (50, 50, True)
    assert sample_corpus(path, most=1000).total == 1000
    assert (sample_corpus(path, most=10**6).total or 0) < 2 * TEXTS


def test_empty_files_among_those_that_are_looked_at_are_passed_over(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.txt")
    (tmp_path / "b.txt").write_text("", encoding="utf-8")
    assert sample_corpus(tmp_path).total == pytest.approx(TEXTS, rel=0.1)


def test_of_a_stream_without_an_end_the_number_is_not_known() -> None:
    sample = sample_stream(iter(texts()))
    assert (len(sample.texts), sample.total, sample.counted) == (400, None, False)
    assert sample_stream(iter(texts()), most=1000).total == 1000
    assert sample_stream(iter(texts(30))).total == 30


def test_long_texts_end_a_sample_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_sample, "_CHARACTERS", 1000)
    assert len(sample_stream(["x" * 400] * 10).texts) == 3
