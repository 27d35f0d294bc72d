"""Which examples make a batch: grouped by length, in an order that is a function of seed and epoch alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

from bertling.errors import DataError

# Batches that are sorted by length together: more group better, fewer mix better.
_POOL_BATCHES = 64


class Draw(NamedTuple):
    """One example of a batch; weight 0 marks a duplicate that only fills a process's last batch."""

    example: int
    weight: float
    epoch: int = 0


class GroupedBatchSampler(Sampler[list[Draw]]):
    """Batches of examples of like length, shared out among processes.

    Every example comes exactly once an epoch with weight 1. All processes get the same number of batches; a
    process that has nothing left to do gets duplicates with weight 0. The order does not depend on any
    generator's state, so a resumed run and every process see the same one.

    Args:
        lengths: (N,) tokens of each example.
        batch_size: examples in a batch of one process.
        seed: of the order.
        processes: number of processes.
        rank: this process, from 0.

    Raises:
        DataError: there are no examples.
    """

    def __init__(
        self, lengths: npt.NDArray[Any], *, batch_size: int, seed: int, processes: int = 1, rank: int = 0
    ) -> None:
        if len(lengths) == 0:
            raise DataError("the training set is empty; expected at least one example")
        self._lengths = np.asarray(lengths)
        self._batch_size = batch_size
        self._seed = seed
        self._processes = processes
        self._rank = rank
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The next pass gives the order of this epoch, counted from 0."""
        self._epoch = epoch

    def __len__(self) -> int:
        return -(-len(self._lengths) // (self._batch_size * self._processes))

    def __iter__(self) -> Iterator[list[Draw]]:
        random = np.random.default_rng([self._seed, self._epoch])
        order = random.permutation(len(self._lengths))
        together = self._batch_size * self._processes
        pool = together * _POOL_BATCHES
        batches: list[npt.NDArray[np.int64]] = []
        for start in range(0, len(order), pool):
            members = order[start : start + pool]
            members = members[np.argsort(self._lengths[members], kind="stable")]
            batches += [members[first : first + together] for first in range(0, len(members), together)]
        for position in random.permutation(len(batches)):
            batch = batches[position]
            mine = [Draw(int(index), 1.0, self._epoch) for index in batch[self._rank :: self._processes]]
            yield mine or [Draw(int(batch[0]), 0.0, self._epoch)]
