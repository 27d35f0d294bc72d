"""Which teacher layer each student layer learns from: the paper's mapping function n = g(m), section 3.2."""

from __future__ import annotations

from collections.abc import Sequence

from bertling.errors import ShapeError

LayerMap = dict[int, int]
"""student layer -> teacher layer, both from 1"""


def layer_map(strategy: str | Sequence[int], *, student_layers: int, teacher_layers: int) -> LayerMap:
    """The map of a named strategy, or an explicit one.

    Args:
        strategy: ``uniform``, g(m) = m N / M, rounded (halves up) where M does not divide N; ``top``, the
            last M layers; ``bottom``, the first M (the paper's section 4.5); or a teacher layer for each
            student layer.
        student_layers: M.
        teacher_layers: N.

    Raises:
        ShapeError: an unknown name, layers that do not exist, or the wrong number of them.
    """
    small, big = student_layers, teacher_layers
    if not isinstance(strategy, str):
        chosen = list(strategy)
        if len(chosen) != small or not all(1 <= layer <= big for layer in chosen):
            raise ShapeError(
                f"layer map {chosen} does not fit: expected {small} teacher layers from 1 to {big}"
            )
        return dict(enumerate(chosen, start=1))
    if strategy == "uniform":
        return {m: max(1, (2 * m * big + small) // (2 * small)) for m in range(1, small + 1)}
    if strategy not in ("top", "bottom"):
        raise ShapeError(
            f"unknown layer map {strategy!r}; expected uniform, top, bottom, or a list of teacher layers"
        )
    if small > big:
        raise ShapeError(
            f"layer map {strategy!r} needs a teacher as deep as the student: got {big} and {small} layers"
        )
    first = big - small if strategy == "top" else 0
    return {m: first + m for m in range(1, small + 1)}
