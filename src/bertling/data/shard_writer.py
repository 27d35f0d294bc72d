"""Shards of a corpus, tokenised and written by this process or by several.

Imports no torch, so that the processes start quickly and stay small.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bertling.data.packing import pack, reorder
from bertling.data.pieces import cut, save_pieces
from bertling.data.worker_process import end_with_parent

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Each process is one thread: there are as many processes as the user wants.
_OF_WORKERS = {"TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True)
class ShardWriter:
    """Writes a shard, which is a function of its texts and of these settings.

    Attributes:
        tokenizer: a fast tokenizer.
        max_length_tokens: of a piece and of a block.
        packed: whether pieces are put together into blocks.
    """

    tokenizer: PreTrainedTokenizerBase
    max_length_tokens: int
    packed: bool

    def __call__(self, texts: list[str], folder: Path) -> None:
        """Write under another name and rename, so that ``folder`` is whole where it exists."""
        ids, starts = cut(self.tokenizer, texts, max_length_tokens=self.max_length_tokens)
        blocks = None
        if self.packed:
            order, blocks = pack(np.diff(starts), self.max_length_tokens)
            ids, starts = reorder(ids, starts, order)
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
        save_pieces(partial, ids, starts, blocks)
        partial.rename(folder)


@contextmanager
def shard_writing(writer: ShardWriter, workers: int) -> Iterator[Callable[[list[str], Path], None]]:
    """A function that has shards written, in any order; all of them are there when the context ends.

    It waits while ``workers`` shards are being written: so no more than that and the one that is being read
    are in memory.

    Raises:
        BrokenProcessPool: a process died.
    """
    if workers == 1:
        yield writer
        return
    writing: set[Future[None]] = set()

    def write(texts: list[str], folder: Path) -> None:
        if len(writing) == workers:
            finish(FIRST_COMPLETED)
        writing.add(pool.submit(_write, texts, folder))

    def finish(when: str) -> None:
        done, _ = wait(writing, return_when=when)
        writing.difference_update(done)
        for future in done:
            future.result()

    # Not fork, which copies a process in the middle of what its threads do. Not multiprocessing.Pool, which
    # waits for ever for the result of a process that was killed.
    with (
        _environment(_OF_WORKERS),
        ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(writer,),
        ) as pool,
    ):
        yield write
        finish(ALL_COMPLETED)


_writer: ShardWriter
"""Of a worker process."""


def _begin(writer: ShardWriter) -> None:
    global _writer
    _writer = writer
    # The parent ends the work, and what has been begun is finished and kept.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def _write(texts: list[str], folder: Path) -> None:
    _writer(texts, folder)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, for processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
