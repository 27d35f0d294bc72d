from __future__ import annotations

import gzip
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from bertling.augmentation import word_vectors
from bertling.augmentation.word_vectors import WordVectors
from bertling.errors import DataError

GLOVE = "film 1 0 0\nmovie 0.9 0.1 0\nstory 0.5 0.5 0\nbad 0 0 -2\n"


def write(path: Path, content: str | bytes) -> Path:
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def load(tmp_path: Path, content: str | bytes, name: str = "vectors.txt") -> WordVectors:
    return WordVectors.load(write(tmp_path / name, content), tmp_path / "cache")


def message(tmp_path: Path, content: str | bytes) -> str:
    with pytest.raises(DataError) as caught:
        load(tmp_path, content)
    assert not list((tmp_path / "cache").glob("vectors-*/*"))
    return str(caught.value)


def random_vectors(words: int, dimensions: int, *, seed: int = 0) -> npt.NDArray[np.float32]:
    drawn = np.random.default_rng(seed).standard_normal((words, dimensions), dtype=np.float32)
    unit: npt.NDArray[np.float32] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return unit


def letters(number: int) -> str:
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


@pytest.mark.parametrize("name", ["glove.txt", "glove.txt.gz", "glove.vec"])
def test_glove_text_is_read(tmp_path: Path, name: str) -> None:
    vectors = load(tmp_path, GLOVE, name)
    assert len(vectors) == 4
    assert vectors.skipped_lines == 0
    assert vectors.nearest(["film", "bad"], 2) == [["movie", "story"], ["film", "movie"]]


def test_word2vec_text_is_read(tmp_path: Path) -> None:
    lines = "".join(f"{line} \n" for line in GLOVE.splitlines())
    vectors = load(tmp_path, f"5 3\n</s> 0.1 0.2 0.3 \n{lines}")
    assert vectors.nearest(["film"], 3) == [["movie", "story", "bad"]]


@pytest.mark.parametrize("first", ["2 999999999", f"2 {'9' * 5000}", f"{'9' * 5000} 2", f"2 {2**63}"])
def test_a_first_line_that_announces_too_much_is_refused(tmp_path: Path, first: str) -> None:
    assert "announces vectors of" in message(tmp_path, f"{first}\na 1 2\nb 3 4\n")


def test_tokens_with_spaces_numbers_and_punctuation_are_left_out(tmp_path: Path) -> None:
    others = ". . . 1 0 0\nat name@example.org 1 0 0\n7 1 0 0\n, 1 0 0\nb2b 1 0 0\n<unk> 1 0 0\n"
    vectors = load(tmp_path, others + GLOVE)
    assert len(vectors) == 4
    assert vectors.skipped_lines == 0
    assert vectors.nearest(["film", "7", "b2b"], 2) == [["movie", "story"], [], []]


def test_numbers_as_words_in_the_first_lines_do_not_change_the_dimensions(tmp_path: Path) -> None:
    assert len(load(tmp_path, "1 1 0 0\n2 1 0 0\n3 3 0 0\n" + GLOVE)) == 4
    assert len(load(tmp_path, "a b c 1 0 0\na b 1 0 0\n" + GLOVE)) == 4


def test_tabs_blank_lines_windows_line_ends_and_a_byte_order_mark_are_no_trouble(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + GLOVE.replace(" ", "\t").replace("\n", "\r\n\r\n").encode()
    vectors = load(tmp_path, content)
    assert vectors.nearest(["film"], 1) == [["movie"]]
    assert vectors.skipped_lines == 0


def test_a_word_is_looked_up_as_it_is_and_then_lower_cased(tmp_path: Path) -> None:
    vectors = load(tmp_path, "May 1 0\nmay 0 1\nJune 1 0.1\nmight 0.1 1\n")
    assert vectors.nearest(["May", "may", "MAY", "june"], 1) == [["June"], ["might"], ["might"], []]


def test_neither_other_cases_of_the_word_nor_of_a_neighbour_are_given(tmp_path: Path) -> None:
    content = "film 1 0\nFilm 1 0.01\nFILM 1 0.02\nMovie 1 0.03\nmovie 1 0.04\nstory 1 0.05\n"
    vectors = load(tmp_path, content)
    assert vectors.nearest(["film"], 2) == [["Movie", "story"]]
    assert vectors.nearest(["FILM"], 5) == [["Movie", "story"]]


def test_zero_vectors_are_left_out_and_of_duplicates_the_first_counts(tmp_path: Path) -> None:
    vectors = load(tmp_path, GLOVE + "nothing 0 0 0\nmovie 0 0 1\nstory 1 0 0\n")
    assert len(vectors) == 4
    assert vectors.nearest(["film", "nothing"], 4) == [["movie", "story", "bad"], []]


def test_few_unreadable_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    rows = "".join(f"{letters(number)} 1 {number} 0\n" for number in range(60))
    bad = "short 1 2\nwords are no numbers\nnan 1 nan 0\nhuge 1 inf 0\nhuger 1.7e308 1.7e308 0\n"
    vectors = load(tmp_path, bad + rows)
    assert len(vectors) == 60
    assert vectors.skipped_lines == 5
    assert WordVectors.load(tmp_path / "vectors.txt", tmp_path / "cache").skipped_lines == 5


def test_many_unreadable_lines_are_an_error_with_their_numbers(tmp_path: Path) -> None:
    error = message(tmp_path, GLOVE + "one 1 2\ntwo 1 x 2\nthree nan 0 0\nfour 1 2\n")
    assert "vectors.txt: 4 lines cannot be used" in error
    assert "fewer than a word and 3 numbers: lines 5, 8" in error
    assert "not a number where one was expected: line 6" in error
    assert "NaN or infinite: line 7" in error
    assert "8 lines" in error


def test_ordinary_text_is_an_error(tmp_path: Path) -> None:
    error = message(tmp_path, "Once upon a time.\nThere was a file.\nIt held a text.\n")
    assert "lines 1, 2, 3" in error


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("film 1 0\n", "holds 1 word with a vector; expected at least two"),
        ("3 1 0\n4 1 0\n", "holds no words with a vector"),
        ("2 3\n", "has vectors for 0 words, but its first line announces 2"),
        (f"9 3\n{GLOVE}", "has vectors for 4 words, but its first line announces 9"),
        ("film\nmovie\n", "fewer than a word and 1 numbers"),
        (b"film 1 0\nbad \xff 0\nstory 1 0\n", "not valid UTF-8: line 2"),
        (b"\x80\x02}q\x00(X\x05", "not valid UTF-8"),
    ],
)
def test_files_without_vectors_are_errors(tmp_path: Path, content: str | bytes, expected: str) -> None:
    assert expected in message(tmp_path, content)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "glove.txt", GLOVE)
    with pytest.raises(DataError, match=r"Did you mean 'glove.txt'"):
        WordVectors.load(tmp_path / "golve.txt", tmp_path / "cache")


def test_a_damaged_gzip_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "glove.txt.gz").write_bytes(gzip.compress(GLOVE.encode() * 50)[:-20])
    with pytest.raises(DataError, match="cannot be read"):
        WordVectors.load(tmp_path / "glove.txt.gz", tmp_path / "cache")


def test_a_file_is_read_once_and_again_when_its_content_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert = word_vectors._convert
    read = []

    def noted(source: Path, folder: Path) -> None:
        read.append(source)
        convert(source, folder)

    monkeypatch.setattr(word_vectors, "_convert", noted)
    first = load(tmp_path, GLOVE).nearest(["film"], 3)
    assert load(tmp_path, GLOVE, "another_name.txt").nearest(["film"], 3) == first
    assert len(read) == 1
    changed = GLOVE.replace("story 0.5 0.5", "story 1.0 0.0")
    assert load(tmp_path, changed).nearest(["film"], 3) == [["story", "movie", "bad"]]
    assert load(tmp_path, GLOVE).nearest(["film"], 3) == first
    assert len(read) == 2


def test_vectors_are_mapped_unit_vectors(tmp_path: Path) -> None:
    load(tmp_path, GLOVE)
    [folder] = (tmp_path / "cache").glob("vectors-*/")
    assert sorted(path.name for path in folder.iterdir()) == ["vectors.npy", "words.json"]
    matrix = np.load(folder / "vectors.npy")
    assert matrix.shape == (4, 3)
    assert matrix.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1, rtol=1e-6)
    # A file that went missing would show if the cache were not used.
    (folder / "vectors.npy").unlink()
    with pytest.raises(FileNotFoundError):
        WordVectors.load(tmp_path / "vectors.txt", tmp_path / "cache")


def test_reading_that_was_killed_leaves_nothing_that_counts(tmp_path: Path) -> None:
    load(tmp_path, GLOVE)
    [folder] = (tmp_path / "cache").glob("vectors-*/")
    torn = folder.with_name(f"{folder.name}.partial")
    folder.rename(torn)
    (torn / "words.json").write_text("{")
    assert len(load(tmp_path, GLOVE)) == 4
    assert not torn.exists()


def test_of_two_that_read_a_file_at_once_one_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "vectors.txt", GLOVE)
    convert = word_vectors._convert
    read = []

    def slow(source: Path, folder: Path) -> None:
        read.append(folder)
        time.sleep(0.2)
        convert(source, folder)

    monkeypatch.setattr(word_vectors, "_convert", slow)
    with ThreadPoolExecutor(2) as pool:
        loaded = list(pool.map(lambda _: WordVectors.load(path, tmp_path / "cache"), range(2)))
    assert [len(vectors) for vectors in loaded] == [4, 4]
    assert len(read) == 1


@pytest.mark.parametrize(("words", "count"), [(2, 5), (63, 3), (64, 63), (65, 100), (1000, 15)])
def test_neighbours_are_those_of_a_full_sort(words: int, count: int) -> None:
    matrix = random_vectors(words, 7)
    names = [letters(number) for number in range(words)]
    vectors = WordVectors(names, matrix)
    cosines = matrix.astype(np.float64) @ matrix.T.astype(np.float64)
    np.fill_diagonal(cosines, -np.inf)
    expected = [
        [names[index] for index in np.argsort(-row, kind="stable")[: min(count, words - 1)]]
        for row in cosines
    ]
    assert vectors.nearest(names, count) == expected


def test_blocks_of_words_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [letters(number) for number in range(300)]
    vectors = WordVectors(names, random_vectors(300, 16))
    together = vectors.nearest(names, 10)
    monkeypatch.setattr(word_vectors, "_BLOCK_SCORES", 1000)
    assert vectors.nearest(names, 10) == together
    assert [vectors.nearest([name], 10)[0] for name in names] == together


def test_of_equally_near_words_the_first_is_first() -> None:
    # More segments than neighbours hold a word that is as near as the last one.
    names = [letters(number) for number in range(4000)]
    matrix = np.tile(random_vectors(4, 5), (1000, 1))
    vectors = WordVectors(names, matrix)
    twins = [[names[index] for index in range(start, 4000, 4)] for start in range(4)]
    assert vectors.nearest(names[:4], 20) == [group[1:21] for group in twins]
    assert vectors.nearest([names[200]], 20) == [twins[0][:20]]


def test_repeated_and_unknown_words_keep_their_places() -> None:
    vectors = WordVectors(["film", "movie", "story"], random_vectors(3, 4))
    [first, unknown, again] = vectors.nearest(["film", "cinema", "film"], 1)
    assert first == again
    assert unknown == []
    assert vectors.nearest([], 3) == []
