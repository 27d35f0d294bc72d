"""Asks an exported model: batches by length, in threads, with answers in the order of the questions.

N texts, B batch, T tokens, C classes, W words of the longest text.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bertling.errors import DataError, MissingExtraError, ModelError
from bertling.inference.answers import Answer, to_answer
from bertling.inference.manifest import GRAPH, Manifest
from bertling.inference.texts import Encoded, Text, TextEncoder, problem_of

# So many texts are sorted by length together, and kept in memory by each worker.
_CHUNK_TEXTS = 1024
_CHUNK_CHARACTERS = 1_000_000
# A batch of long texts is smaller: what attention makes of them grows with the square of their length.
_BATCH_TOKENS = 8192

Logits = npt.NDArray[np.float32]


class Predictor:
    """A model that ``bertling export`` wrote.

    Needs onnxruntime, tokenizers and NumPy alone. One predictor may be used by several threads.

    Args:
        folder: of one export, such as ``RUN/export/int8``.
        threads: of each worker, for the products of one batch.
        workers: batches that are computed at the same time, on the same copy of the weights.
        batch_size: texts in a batch, at most.

    Attributes:
        manifest: what the folder says of the model.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        ModelError: no export in the folder, or a damaged one.
    """

    def __init__(
        self, folder: str | Path, *, threads: int = 1, workers: int = 1, batch_size: int = 32
    ) -> None:
        for name, value in (("threads", threads), ("workers", workers), ("batch_size", batch_size)):
            if value < 1:
                raise ModelError(f"got {name} = {value}; expected a number from 1")
        self.manifest = Manifest.read(Path(folder))
        self.workers = workers
        self.batch_size = batch_size
        self._encoder = TextEncoder(Path(folder), self.manifest)
        self._session = _session(Path(folder) / GRAPH, threads, self.manifest)

    def predict(self, texts: Sequence[Text]) -> list[Answer]:
        """Answer texts, in their order.

        Args:
            texts: strings; pairs of strings, of a model that reads pairs; lists of words, of one that labels
                words.

        Raises:
            DataError: a text that is empty or of another kind, by its number from 0.
            ModelError: the model answers NaN.
        """
        if isinstance(texts, str):
            raise DataError("got a single text; expected a list of them: predict([text])")
        return list(self._stream(texts, self._share(len(texts))))

    def stream(self, texts: Iterable[Text]) -> Iterator[Answer]:
        """Answer texts as they come, in their order, with a bounded number of them in memory.

        A worker takes 1,024 texts at a time, so the first answers come when so many have been read. Arguments
        and errors are those of `predict`.
        """
        return self._stream(texts, _CHUNK_TEXTS)

    def logits(self, texts: Sequence[Text]) -> Logits:
        """Raw outputs, (N, C); of words (N, W, C), NaN behind a text's last word and for those cut off."""
        parts = self._parts(texts, self._share(len(texts)))
        rows = [row for part in parts for row in part]
        if self.manifest.kind != "words":
            return np.asarray(rows, dtype=np.float32)
        longest = max((len(row) for row in rows), default=0)
        padded = np.full((len(rows), longest, len(self.manifest.labels)), np.nan, dtype=np.float32)
        for whole, row in zip(padded, rows, strict=True):
            whole[: len(row)] = row
        return padded

    def _share(self, count: int) -> int:
        """Texts for each worker, where it is known how many there are."""
        return min(_CHUNK_TEXTS, max(self.batch_size, -(-count // self.workers)))

    def _stream(self, texts: Iterable[Text], chunk_texts: int) -> Iterator[Answer]:
        for part in self._parts(texts, chunk_texts):
            for row in part:
                yield to_answer(row, self.manifest)

    def _parts(self, texts: Iterable[Text], chunk_texts: int) -> Iterator[list[Logits]]:
        """Each chunk's logits; as many chunks are under way as there are workers."""
        chunks = self._chunks(texts, chunk_texts)
        if self.workers == 1:
            yield from map(self._run, chunks)
            return
        with ThreadPoolExecutor(self.workers) as pool:
            under_way: deque[Future[list[Logits]]] = deque()
            for chunk in chunks:
                under_way.append(pool.submit(self._run, chunk))
                if len(under_way) > self.workers:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()

    def _chunks(self, texts: Iterable[Text], most: int) -> Iterator[list[Text]]:
        chunk: list[Text] = []
        characters = 0
        for index, text in enumerate(texts):
            if problem := problem_of(text, self.manifest):
                raise DataError(f"text {index}, counted from 0, {problem}")
            chunk.append(text)
            characters += len(text) if isinstance(text, str) else sum(map(len, text))
            if len(chunk) == most or characters >= _CHUNK_CHARACTERS:
                yield chunk
                chunk, characters = [], 0
        if chunk:
            yield chunk

    def _run(self, chunk: Sequence[Text]) -> list[Logits]:
        """Each text's logits, (C,) or (W, C), in their order; texts of like length share a batch."""
        rows = [self._encoder.encode(text) for text in chunk]
        order = sorted(range(len(rows)), key=lambda index: len(rows[index].ids))
        found: list[Logits] = [np.empty(0, np.float32)] * len(rows)
        for batch in self._batches(order, rows):
            feed = self._encoder.batch([rows[index] for index in batch])
            logits = self._logits(feed)
            for index, row in zip(batch, logits, strict=True):
                starts = rows[index].starts
                if not np.isfinite(row if starts is None else row[starts[starts >= 0]]).all():
                    raise ModelError(
                        f"the model answers NaN or infinity for the text {str(chunk[index])[:60]!r}: look "
                        "for a training run that diverged, and export the model again"
                    )
                found[index] = row if starts is None else _of_words(row, starts)
        return found

    def _logits(self, feed: dict[str, Any]) -> Logits:
        """(B, C), or (B, T, C) of words; whatever else the graph makes is refused."""
        ids = feed[self.manifest.inputs[0]]
        width = max(1, len(self.manifest.labels))
        shape = (*ids.shape, width) if self.manifest.kind == "words" else (len(ids), width)
        try:
            logits = self._session.run(["logits"], feed)[0]
        except Exception as error:  # onnxruntime's own have no common base
            first = next(iter(str(error).splitlines()), "")
            raise ModelError(
                f"the graph fails on this text ({first}); the folder's files may be of different exports: "
                "export the model again"
            ) from error
        if not isinstance(logits, np.ndarray) or logits.shape != shape or logits.dtype != np.float32:
            got = (
                f"{logits.dtype} {logits.shape}" if isinstance(logits, np.ndarray) else type(logits).__name__
            )
            raise ModelError(
                f"the graph answers with {got}, expected float32 {shape}: export the model again"
            )
        return logits

    def _batches(self, order: Sequence[int], rows: Sequence[Encoded]) -> Iterator[list[int]]:
        batch: list[int] = []
        for index in order:
            # The next one is the longest yet.
            if batch and (
                len(batch) == self.batch_size or (len(batch) + 1) * len(rows[index].ids) > _BATCH_TOKENS
            ):
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch


def _of_words(logits: Logits, starts: npt.NDArray[np.int64]) -> Logits:
    """(W, C) from (T, C): those of each word's first token, NaN for a word that was cut off."""
    return np.where(starts[:, None] < 0, np.float32(np.nan), logits[starts])


def _session(graph: Path, threads: int, manifest: Manifest) -> Any:
    if find_spec("onnxruntime") is None:
        raise MissingExtraError("onnxruntime", extra="onnx", needed_for="an exported model")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Plans of memory are kept for each shape, and every batch may have another one.
    options.enable_mem_pattern = False
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own have no common base
        first = next(iter(str(error).splitlines()), "")
        raise ModelError(f"{graph} cannot be loaded ({first}): export the model again") from error
    names = [given.name for given in session.get_inputs()]
    outputs = session.get_outputs()
    if sorted(names) != sorted(manifest.inputs) or [out.name for out in outputs] != ["logits"]:
        raise ModelError(
            f"{graph} reads {', '.join(names)}, and its manifest says {', '.join(manifest.inputs)}: the "
            "files are of different exports. Export the model again"
        )
    width = outputs[0].shape[-1] if outputs[0].shape else None
    if isinstance(width, int) and width != max(1, len(manifest.labels)):
        raise ModelError(
            f"{graph} has {width} outputs for {len(manifest.labels)} labels: the files are of different "
            "exports. Export the model again"
        )
    return session
