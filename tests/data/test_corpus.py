from __future__ import annotations

import gzip
from itertools import islice
from pathlib import Path

import pytest

from bertling.data.corpus import MAX_TEXT_CHARACTERS, read_texts
from bertling.errors import DataError


@pytest.mark.parametrize("name", ["corpus.txt", "corpus.txt.gz", "corpus.gz"])
def test_one_text_a_line_without_the_blank_ones(tmp_path: Path, name: str) -> None:
    content = b"first\r\n\n  \t \nsecond line\n\nthird, no newline"
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert list(read_texts(tmp_path / name)) == ["first", "second line", "third, no newline"]


def test_whitespace_collapses_and_control_characters_go(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_bytes(
        "\ufeff  a\t b\u00a0 c\x00d\x1b\x7f\u0080e\x0cf\u2028g \r\n".encode()
    )
    assert list(read_texts(tmp_path / "corpus.txt")) == ["a b cde f g"]


def test_a_line_of_control_characters_alone_is_blank(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_bytes(b"\x00\x01\ntext\n")
    assert list(read_texts(tmp_path / "corpus.txt")) == ["text"]


def test_long_lines_split_at_whitespace_and_lose_no_word(tmp_path: Path) -> None:
    words = [f"w{number}" for number in range(60_000)]
    (tmp_path / "corpus.txt").write_text(" ".join(words) + "\nshort\n")
    *pieces, last = read_texts(tmp_path / "corpus.txt")
    assert last == "short"
    assert len(pieces) == 5
    assert all(len(piece) <= MAX_TEXT_CHARACTERS for piece in pieces)
    assert " ".join(pieces).split(" ") == words


@pytest.mark.parametrize("extra", [0, 1, MAX_TEXT_CHARACTERS])
def test_a_line_without_whitespace_is_cut_at_the_limit(tmp_path: Path, extra: int) -> None:
    (tmp_path / "corpus.txt").write_text("x" * (MAX_TEXT_CHARACTERS + extra))
    pieces = list(read_texts(tmp_path / "corpus.txt"))
    assert [len(piece) for piece in pieces] == [MAX_TEXT_CHARACTERS, *([extra] if extra else [])]


def test_a_space_right_at_the_limit_begins_no_piece(tmp_path: Path) -> None:
    long = "x" * MAX_TEXT_CHARACTERS
    (tmp_path / "corpus.txt").write_text(f"{long} {long}y z")
    assert list(read_texts(tmp_path / "corpus.txt")) == [long, long, "y z"]


def test_texts_are_streamed(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_bytes(b"good\n" * 10 + b"caf\xe9\n")
    assert list(islice(read_texts(tmp_path / "corpus.txt"), 10)) == ["good"] * 10


def test_invalid_utf8_is_named_by_line(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_bytes(b"good\ncaf\xe9\ngood\n\xff\xfe\n")
    with pytest.raises(DataError, match=r"corpus\.txt: 2 lines.*\n.*not valid UTF-8: lines 2, 4"):
        list(read_texts(tmp_path / "corpus.txt"))


def test_a_missing_or_damaged_file_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file corpus\.txt"):
        list(read_texts(tmp_path / "corpus.txt"))
    (tmp_path / "corpus.gz").write_bytes(gzip.compress(b"text\n" * 1000)[:-12])
    with pytest.raises(DataError, match=r"corpus\.gz cannot be read"):
        list(read_texts(tmp_path / "corpus.gz"))


@pytest.mark.parametrize("content", [b"", b"\n \n\t\n"])
def test_a_corpus_without_text_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "corpus.txt").write_bytes(content)
    with pytest.raises(DataError, match="holds no text"):
        list(read_texts(tmp_path / "corpus.txt"))


def test_real_corpus_is_read_whole(shared_data: Path) -> None:
    path = shared_data / "corpus.txt.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        lines = [line for line in file if line.strip()]
    texts = list(read_texts(path))
    assert len(texts) == len(lines)
    for text, line in zip(texts, lines, strict=True):
        assert text == " ".join(text.split())
        assert list(filter(str.isalnum, text)) == list(filter(str.isalnum, line))
