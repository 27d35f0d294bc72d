"""Replacements for words of several pieces: the words with the nearest vectors.

N words, D numbers in a vector, Q words that are looked up.
"""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import file_digest
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock
from torch import Tensor

from bertling.augmentation.words import is_word
from bertling.data.lines import check_file, read_lines
from bertling.data.problems import RowProblems
from bertling.errors import DataError

# Part of a cache's name: raise it when what is written, or which words are, changes.
_FORMAT = 1
_LAYOUT_LINES = 100
_DIGITS = 18
_CHUNK_NUMBERS = 1 << 20
_MOST_DIMENSIONS = 100_000
_BAD_LINES = 0.1

# Similarities of one block of Q words to all N: 64 MiB of float32.
_BLOCK_SCORES = 2**24
_SEGMENT = 64
# More than what rounding does to a float32 product of unit vectors.
_ROUNDING = 1e-5


class WordVectors:
    """Words and their vectors.

    Args:
        words: N distinct words.
        vectors: (N, D) float32, each of length 1, which may be mapped from disk.
        skipped_lines: how many lines of the file could not be read.
    """

    def __init__(
        self, words: Sequence[str], vectors: npt.NDArray[np.float32], *, skipped_lines: int = 0
    ) -> None:
        self.skipped_lines = skipped_lines
        self._words = list(words)
        self._vectors = torch.from_numpy(vectors)
        self._rows = {word: row for row, word in enumerate(self._words)}
        self._cases = max(Counter(word.lower() for word in self._words).values())

    def __len__(self) -> int:
        return len(self._words)

    @classmethod
    def load(cls, path: Path, cache: Path) -> WordVectors:
        """Read a text file of vectors, as GloVe (``word 0.1 0.2``) or word2vec (with a first line ``N D``).

        The first time a file is read, its words and unit vectors are written into a folder in ``cache``; from
        then on they are mapped, as long as the file's content is the same. Entries that are no words
        (numbers, punctuation, anything with a space in it) and zero vectors are left out, and of several
        entries for a word the first counts. Lines that are too short or hold something else than finite
        numbers are skipped.

        Args:
            path: UTF-8 text; ``.gz`` is unpacked.
            cache: a folder, which is made.

        Raises:
            DataError: no such file, not UTF-8, more than a tenth of the lines are skipped, fewer lines than
                the first one says, or fewer than two words.
        """
        check_file(path)
        with path.open("rb") as stream:
            content = file_digest(stream, "sha256").hexdigest()
        cache.mkdir(parents=True, exist_ok=True)
        folder = cache / f"vectors-{_FORMAT}-{content}"
        with FileLock(cache / f"{folder.name}.lock"):
            if not folder.is_dir():
                partial = cache / f"{folder.name}.partial"
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir()
                try:
                    _convert(path, partial)
                    partial.replace(folder)
                finally:
                    shutil.rmtree(partial, ignore_errors=True)
        with (folder / "words.json").open(encoding="utf-8") as stream:
            read = json.load(stream)
        # Copy-on-write, since torch warns of arrays that it must not write to; nothing writes.
        vectors = np.load(folder / "vectors.npy", mmap_mode="c")
        return cls(read["words"], vectors, skipped_lines=read["skipped_lines"])

    @torch.inference_mode()
    def nearest(self, words: Sequence[str], count: int) -> list[list[str]]:
        """For each word the ``count`` others with the largest cosine, best first, or all there are.

        A word is looked up as it is, then lower-cased; one that is unknown gets none. Neither the word itself
        in another case nor two words that differ only in case are given. The order does not depend on which
        words are asked for together; of equally near words the one that comes first in the file is first.
        """
        rows = [self._rows.get(word, self._rows.get(word.lower())) for word in words]
        known = sorted({row for row in rows if row is not None})
        # One more for the word itself, and each may be there in several cases.
        ranked = min(len(self._words), (count + 1) * self._cases)
        padded = -(-len(self._words) // _SEGMENT) * _SEGMENT
        block = max(1, _BLOCK_SCORES // padded)
        found: dict[int | None, list[str]] = {None: []}
        for start in range(0, len(known), block):
            part = known[start : start + block]
            for row, best in zip(part, self._best(part, ranked, padded), strict=True):
                found[row] = self._distinct(row, best, count)
        return [found[row] for row in rows]

    def _best(self, rows: Sequence[int], ranked: int, padded: int) -> Iterator[list[int]]:
        """The rows of the nearest words, best first, for each of Q rows.

        The k largest of N values lie in the k segments with the largest maxima, so that few are sorted. Exact
        products decide among those that are near the k-th: the order must not hang on how a matrix product
        rounds, which depends on its shape.
        """
        queries = self._vectors[torch.tensor(rows)]
        scores = torch.full((len(rows), padded), -torch.inf)
        torch.mm(queries, self._vectors.T, out=scores[:, : len(self._words)])
        segments = scores.view(len(rows), -1, _SEGMENT)
        maxima = segments.amax(-1)
        least = maxima.topk(min(ranked, maxima.size(1))).values[:, -1:] - _ROUNDING
        most = int((maxima >= least).sum(1).max())
        chosen = maxima.topk(most).indices
        values = segments.gather(1, chosen[..., None].expand(-1, -1, _SEGMENT)).flatten(1)
        positions = (chosen[..., None] * _SEGMENT + torch.arange(_SEGMENT)).flatten(1)
        bounds = values.topk(ranked).values[:, -1:] - _ROUNDING
        for query, near, position in zip(queries, values >= bounds, positions, strict=True):
            yield self._ordered(query, position[near])[:ranked]

    def _ordered(self, query: Tensor, positions: Tensor) -> list[int]:
        positions = positions.sort().values
        exact = (self._vectors[positions].double() * query.double()).sum(-1)
        order = exact.sort(descending=True, stable=True).indices
        ordered: list[int] = positions[order].tolist()
        return ordered

    def _distinct(self, row: int, best: Sequence[int], count: int) -> list[str]:
        by_lowered = {self._words[row].lower(): ""}
        for index in best:
            by_lowered.setdefault(self._words[index].lower(), self._words[index])
        return list(by_lowered.values())[1 : count + 1]


class _Layout(NamedTuple):
    """Numbers in a vector, and how many lines of them the file's first line announces, where there is one."""

    dimensions: int
    announced: int | None


def _layout(path: Path) -> _Layout:
    lines = [line.split() for _, line in islice(read_lines(path), _LAYOUT_LINES) if line.strip()]
    if not lines:
        raise DataError(f"{path} is empty; expected word vectors, a word and its numbers a line")
    if len(lines[0]) == 2 and all(field.isdecimal() for field in lines[0]):
        if max(map(len, lines[0])) > _DIGITS or int(lines[0][1]) > _MOST_DIMENSIONS:
            raise DataError(
                f"{path} announces vectors of {lines[0][1][:_DIGITS]} numbers for {lines[0][0][:_DIGITS]} "
                f"words; expected at most {_MOST_DIMENSIONS:,} numbers: correct the first line"
            )
        announced, dimensions = map(int, lines[0])
        return _Layout(max(dimensions, 1), announced)
    # A word may hold spaces and a line be cut, so most lines decide.
    lengths = Counter(max(len(fields) - 1, 1) for fields in lines)
    return _Layout(max(lengths, key=lambda length: (lengths[length], -length)), None)


def _convert(path: Path, folder: Path) -> None:
    """Write ``words.json`` and ``vectors.npy``; memory grows with the words, not with their vectors."""
    layout = _layout(path)
    reader = _Reader(path, layout)
    words: list[str] = []
    with (folder / "vectors.npy").open("wb") as stream:
        # numpy leaves room in the header for the number of rows, which is known at the end.
        _write_header(stream, 0, layout.dimensions)
        entries = iter(reader)
        while chunk := list(islice(entries, max(1, _CHUNK_NUMBERS // layout.dimensions))):
            words += [word for word, _ in chunk]
            stream.write(np.array([vector for _, vector in chunk], dtype="<f4").tobytes())
        stream.seek(0)
        _write_header(stream, len(words), layout.dimensions)
    reader.check(len(words))
    facts = {"words": words, "skipped_lines": reader.skipped}
    (folder / "words.json").write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")


def _write_header(stream: Any, rows: int, dimensions: int) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": (rows, dimensions)}
    np.lib.format.write_array_header_1_0(stream, header)


class _Reader:
    """Iterates over the (word, unit vector) of a file, and counts what cannot be read."""

    def __init__(self, path: Path, layout: _Layout) -> None:
        self._path = path
        self._layout = layout
        self._problems = RowProblems(str(path), "line")
        self._lines = 0
        self.skipped = 0

    def __iter__(self) -> Iterator[tuple[str, list[float]]]:
        seen: set[str] = set()
        lines = ((number, line) for number, line in read_lines(self._path) if line.strip())
        for number, line in islice(lines, self._layout.announced is not None, None):
            self._lines += 1
            # From the right, since a word may hold spaces.
            word, *fields = line.rsplit(None, self._layout.dimensions)
            try:
                vector = [float(field) for field in fields]
            except ValueError:
                self._skip("not a number where one was expected", number)
                continue
            length = math.hypot(*vector)
            if len(vector) < self._layout.dimensions:
                self._skip(f"fewer than a word and {self._layout.dimensions} numbers", number)
            elif not math.isfinite(length):
                self._skip("NaN or infinite", number)
            elif length and word not in seen and is_word(word):
                seen.add(word)
                yield word, [value / length for value in vector]

    def _skip(self, problem: str, number: int) -> None:
        self._problems.add(problem, number)
        self.skipped += 1

    def check(self, words: int) -> None:
        """Raise a DataError unless the file was what it should be."""
        if self.skipped > self._lines * _BAD_LINES:
            self._problems.raise_if_any(
                f"Expected a word and {self._layout.dimensions} numbers a line, as GloVe and word2vec write "
                f"them, on all but a tenth of the {self._lines} lines: get the file again, or repair it."
            )
        if self._lines < (self._layout.announced or 0):
            raise DataError(
                f"{self._path} has vectors for {self._lines} words, but its first line announces "
                f"{self._layout.announced}: the file is cut short. Get it again, or correct that line."
            )
        if words < 2:
            raise DataError(
                f"{self._path} holds {words or 'no'} word{'s'[: words != 1]} with a vector; expected at "
                "least two, made of letters: word vectors as GloVe or word2vec write them."
            )
