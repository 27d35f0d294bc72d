"""The processes that torchrun started for one run: the first does what is done once, all train together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
from accelerate import PartialState
from torch import distributed
from transformers.utils import logging

from bertling.recipe.schema import Recipe

Value = TypeVar("Value")

# How long the others wait for what the first does alone, such as tokenising a corpus. A process that dies
# ends the waiting of all: torchrun stops them.
_PATIENCE = timedelta(days=30)


class Processes:
    """This process among those of its run, from the environment that torchrun sets; alone without it.

    Attributes:
        count: how many there are.
        rank: this process, from 0.
        first: whether this is the one that writes.
    """

    def __init__(self) -> None:
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = _rank()
        self.first = is_first()
        self._group: Any = None
        if self.count > 1:
            PartialState(cpu=not torch.accelerator.is_available())
            # A group of its own: in the one that trains, waiting would time out, and keep a GPU busy.
            self._group = distributed.new_group(backend="gloo", timeout=_PATIENCE)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            distributed.barrier(group=self._group)

    def from_first(self, make: Callable[[], Value]) -> Value:
        """What ``make`` returns in the first process, in all of them; they wait for it."""
        if self.count == 1:
            return make()
        box = [make() if self.first else None]
        distributed.broadcast_object_list(box, src=0, group=self._group)
        return cast(Value, box[0])


def is_first() -> bool:
    """Whether this is the process that speaks and writes, or alone; for what needs no others."""
    return _rank() == 0


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))


def part() -> None:
    """Take leave of the other processes, before this one ends.

    One that ends while another still listens to it can take that one down, when all the work is done.
    """
    if distributed.is_initialized():
        distributed.barrier()
        PartialState().destroy_process_group()


@contextmanager
def process_set_up(recipe: Recipe) -> Iterator[None]:
    """The recipe's threads, and none of transformers' bars and warnings, which nobody can act on."""
    threads, bars, verbosity = (
        torch.get_num_threads(),
        logging.is_progress_bar_enabled(),
        logging.get_verbosity(),
    )
    torch.set_num_threads(recipe.threads or threads)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
