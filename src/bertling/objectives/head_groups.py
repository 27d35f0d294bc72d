"""Which heads of two models are compared, where their numbers differ and where only some count.

B batch, H heads, T tokens, d head width.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from bertling.errors import ShapeError
from bertling.objectives.numerics import wide


@dataclass(frozen=True, slots=True)
class HeadGroups:
    """The heads of each side as groups of neighbours; a group's scores are the mean of its heads'.

    Attributes:
        count: groups, the greatest common divisor of both head counts.
        kept: groups, from 0, with a teacher's head that counts.
        heads: the teacher's heads, from 0, that count; None: all.
    """

    count: int
    kept: tuple[int, ...]
    heads: tuple[int, ...] | None = None

    def select(self, values: Tensor) -> Tensor:
        """(B, groups, ...) -> (B, kept groups, ...)."""
        return values if len(self.kept) == self.count else values[:, list(self.kept)]

    def shares(self, teacher_heads: int, like: Tensor) -> Tensor:
        """(H_t, 1, 1): each of the teacher's heads' share in its group's mean, 0 where it does not count."""
        size = teacher_heads // self.count
        shares = [0.0] * teacher_heads
        heads = range(teacher_heads) if self.heads is None else self.heads
        for head in heads:
            shares[head] = 1 / sum(other // size == head // size for other in heads)
        return torch.tensor(shares, dtype=like.dtype, device=like.device).view(-1, 1, 1)


def head_groups(student_heads: int, teacher_heads: int, heads: Collection[int] | None = None) -> HeadGroups:
    """The groups of two models; with equal counts each head is one of its own.

    A teacher's head that does not count is no part of its group's mean. A group of none but such heads is
    left out, with the student's heads in it.

    Args:
        student_heads: H_s.
        teacher_heads: H_t.
        heads: the teacher's heads, from 1, that count; None: all.

    Raises:
        ShapeError: a head that the teacher does not have, or none that counts.
    """
    count = math.gcd(student_heads, teacher_heads)
    if heads is None:
        return HeadGroups(count, tuple(range(count)))
    if not heads or not all(1 <= head <= teacher_heads for head in heads):
        raise ShapeError(
            f"got heads {sorted(heads)} as those of the teacher that count; expected one or several from 1 "
            f"to {teacher_heads}"
        )
    counted = tuple(sorted({head - 1 for head in heads}))
    size = teacher_heads // count
    return HeadGroups(count, tuple(sorted({head // size for head in counted})), counted)


def grouped(heads: Tensor, groups: int, factor: float = 1.0) -> Tensor:
    """(B, H, T, d) -> (B, groups, T, H / groups * d): a dot product now sums over the heads of a group."""
    batch, count, tokens, width = heads.shape
    joined = heads
    if count != groups:
        joined = heads.view(batch, groups, count // groups, tokens, width)
        joined = joined.transpose(2, 3).reshape(batch, groups, tokens, count // groups * width)
    return wide(joined) * factor if factor != 1.0 else wide(joined)
