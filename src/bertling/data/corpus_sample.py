"""A few texts of a corpus, and how many there are in all: counted if they are few, else estimated."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bertling.data.corpus import corpus_files, read_corpus, read_corpus_file

_TEXTS = 20_000
_CHARACTERS = 4_000_000
_FILES = 8
_BLOCK_BYTES = 1 << 16
_MEASURED_BYTES = 8 << 20  # unpacked, so many that what is buffered of a packed file counts little


@dataclass(frozen=True, slots=True)
class CorpusSample:
    """Texts of a corpus.

    Attributes:
        texts: of the sample.
        total: how many texts the corpus has; None if that is not known.
        counted: whether that is their exact number, because the sample is the corpus.
    """

    texts: list[str]
    total: int | None
    counted: bool


def sample_stream(texts: Iterable[str], *, most: int | None = None) -> CorpusSample:
    """The first texts of a stream, of which at most ``most`` are wanted in all.

    Raises:
        DataError: what reading the texts raises.
    """
    stream = islice(texts, most)
    taken = list(_first(stream, _TEXTS, _CHARACTERS))
    whole = next(stream, None) is None
    return CorpusSample(taken, len(taken) if whole else most, whole)


def sample_corpus(path: Path, *, column: str = "text", most: int | None = None) -> CorpusSample:
    """Texts from the beginnings of some files of a corpus, evenly over all of them.

    How many there are in all is estimated from the share of these files that was read: of the rows of a
    .parquet file, of the bytes of another, packed or not.

    Args:
        path, column: as for `read_corpus`.
        most: texts that are wanted in all.

    Raises:
        DataError: as `read_corpus` does, for what is read.
    """
    sample = sample_stream(read_corpus(path, column=column), most=most)
    if sample.counted:
        return sample
    files = corpus_files(path)
    chosen = list(dict.fromkeys(files[position * len(files) // _FILES] for position in range(_FILES)))
    texts: list[str] = []
    read_bytes = 0.0
    for file, kind in chosen:
        beginning = read_corpus_file(file, kind, column=column)
        taken = list(_first(beginning, _TEXTS // len(chosen), _CHARACTERS // len(chosen)))
        texts += taken
        read_bytes += file.stat().st_size * _share_read(file, kind, taken)
    if not texts:  # all of them empty
        return sample
    total = round(len(texts) / read_bytes * sum(file.stat().st_size for file, _ in files))
    return CorpusSample(texts, min(total, most or total), False)


def _first(texts: Iterable[str], count: int, characters: int) -> Iterator[str]:
    for text in islice(texts, count):
        yield text
        characters -= len(text)
        if characters < 0:
            return


def _share_read(file: Path, kind: str, texts: list[str]) -> float:
    """Which share of a file the texts at its beginning are."""
    if kind == "parquet":
        with pq.ParquetFile(file) as table:
            return min(1.0, len(texts) / max(int(table.metadata.num_rows), 1))
    unpacked = lines = 0
    with file.open("rb") as packed:
        stream = _unpacked(packed, file.suffix.lower())
        while block := stream.read(_BLOCK_BYTES):
            unpacked += len(block)
            lines += block.count(b"\n")
            if unpacked >= _MEASURED_BYTES:
                break
        # A line of .jsonl holds more than the text; one of plain text may hold several.
        taken = len(texts) / max(lines, 1) if kind == "jsonl" else _bytes(texts) / max(unpacked, 1)
        return min(1.0, taken * packed.tell() / max(file.stat().st_size, 1))


def _bytes(texts: list[str]) -> int:
    return sum(len(text.encode()) + 1 for text in texts)


def _unpacked(packed: io.BufferedReader, suffix: str) -> io.BufferedReader | gzip.GzipFile | pa.NativeFile:
    if suffix == ".gz":
        return gzip.GzipFile(fileobj=packed)
    return pa.CompressedInputStream(packed, "zstd") if suffix == ".zst" else packed
