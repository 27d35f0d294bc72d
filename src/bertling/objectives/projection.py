"""Learnable maps from the student's width to the teacher's: W_e and W_h of the paper's equations 8 and 9.

D_s, D_t widths of student and teacher.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bertling.errors import ShapeError


class Projection(nn.Module):
    """``H_s W``, without bias as in the paper; the identity, without parameters, for equal widths."""

    def __init__(self, student_width: int, teacher_width: int) -> None:
        super().__init__()
        self.linear = (
            nn.Linear(student_width, teacher_width, bias=False)
            if student_width != teacher_width
            else nn.Identity()
        )

    def forward(self, states: Tensor) -> Tensor:
        """(B, T, D_s) -> (B, T, D_t)."""
        projected: Tensor = self.linear(states)
        return projected

    def set_weight(self, weight: Tensor) -> None:
        """Start from W, (D_s, D_t); an identity stays as it is."""
        if isinstance(self.linear, nn.Linear):
            with torch.no_grad():
                self.linear.weight.copy_(weight.T)


class LeastSquares:
    """The W that minimises ``||H_s W - H_t||`` over all tokens seen, from running sums of their products."""

    def __init__(self) -> None:
        self._gram: Tensor | None = None
        self._cross: Tensor | None = None

    def add(self, student: Tensor, teacher: Tensor) -> None:
        """Take in N tokens: (N, D_s) and (N, D_t)."""
        student, teacher = student.double(), teacher.double()
        gram, cross = student.T @ student, student.T @ teacher
        self._gram = gram if self._gram is None else self._gram + gram
        self._cross = cross if self._cross is None else self._cross + cross

    def solve(self) -> Tensor:
        """(D_s, D_t), float32; raises ShapeError if no token was added."""
        if self._gram is None or self._cross is None:
            raise ShapeError("no tokens to fit a projection on; give calibration texts")
        # After LayerNorm the channels of a student with small biases add up to nearly the same number for
        # every token. Without this ridge that number serves as an intercept, with weights so large that the
        # first steps, which move it, throw the fit away.
        size = self._gram.shape[0]
        ridge = (
            1e-3
            * self._gram.diagonal().mean()
            * torch.eye(size, dtype=torch.float64, device=self._gram.device)
        )
        solution: Tensor = torch.linalg.solve(self._gram + ridge, self._cross)
        return solution.float()
