"""The processes that torchrun started for one run: the first does what is done once, all train together."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
from accelerate import PartialState
from torch import distributed

Value = TypeVar("Value")

# How long the others wait for what the first does alone, such as tokenising a corpus. A process that dies
# ends the waiting of all: torchrun stops them.
_PATIENCE = timedelta(days=30)


class Processes:
    """This process among those of its run, from the environment that torchrun sets; alone without it.

    Attributes:
        count: how many there are.
        first: whether this is the one that writes.
    """

    def __init__(self) -> None:
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        self.first = int(os.environ.get("RANK", "0")) == 0
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
