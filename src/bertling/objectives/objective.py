"""An objective: terms, each with a weight, summed.

B batch, D_s and D_t widths of student and teacher.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from operator import or_

from torch import Tensor, nn

from bertling.errors import ShapeError
from bertling.objectives.projection import LeastSquares, Projection
from bertling.objectives.terms import Term
from bertling.states import EncoderStates, Parts


class Objective(nn.Module):
    """Sum of weighted terms. Its projections train with the student and are not part of it.

    Args:
        terms: a term, or a term and its weight (1 if left out).

    Raises:
        ShapeError: there is no term, or a weight is not above 0.
    """

    def __init__(self, terms: Sequence[Term | tuple[Term, float]]) -> None:
        super().__init__()
        weighted = [entry if isinstance(entry, tuple) else (entry, 1.0) for entry in terms]
        if not weighted or any(not weight > 0 for _, weight in weighted):
            raise ShapeError(f"an objective needs terms with weights above 0, got {[w for _, w in weighted]}")
        self.terms = nn.ModuleList(term for term, _ in weighted)
        self.weights = [weight for _, weight in weighted]

    @property
    def needs_teacher(self) -> bool:
        """False if every term reads labels alone."""
        return bool(self.teacher_parts)

    @property
    def student_parts(self) -> Parts:
        """What the terms read of the student."""
        return reduce(or_, (term.student_parts for term in self._terms()))

    @property
    def teacher_parts(self) -> Parts:
        """What the terms read of the teacher."""
        return reduce(or_, (term.teacher_parts for term in self._terms()))

    def has(self, kind: type[Term]) -> bool:
        """Whether a term of this kind is among them."""
        return any(isinstance(term, kind) for term in self.terms)

    def forward(
        self, student: EncoderStates, teacher: EncoderStates | None = None, labels: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum, (B,), and every loss by name, each (B,), unweighted.

        Raises:
            ModelError: a term needs a teacher, labels or logits that are not there.
            ShapeError: the states of student and teacher do not fit together.
        """
        losses: dict[str, Tensor] = {}
        total: Tensor | None = None
        for term, weight in zip(self._terms(), self.weights, strict=True):
            for name, loss in term(student, teacher, labels).items():
                losses[name] = loss
                total = loss * weight if total is None else total + loss * weight
        assert total is not None
        return total, losses

    def fit_projections(self, batches: Iterable[tuple[EncoderStates, EncoderStates]]) -> None:
        """Start every projection from the least-squares fit of the teacher's states to the student's.

        Args:
            batches: states of student and teacher on the same calibration texts.
        """
        fits: dict[Projection, LeastSquares] = {}
        for student, teacher in batches:
            for term in self._terms():
                for projection, (ours, theirs) in term.projected(student, teacher).items():
                    fits.setdefault(projection, LeastSquares()).add(ours[student.mask], theirs[student.mask])
        for projection, fit in fits.items():
            projection.set_weight(fit.solve())

    def _terms(self) -> list[Term]:
        return [term for term in self.terms if isinstance(term, Term)]
