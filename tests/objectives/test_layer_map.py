from __future__ import annotations

import pytest

from bertling.errors import ShapeError
from bertling.objectives.layer_map import layer_map


@pytest.mark.parametrize(
    ("strategy", "student", "teacher", "expected"),
    [
        ("uniform", 4, 12, [3, 6, 9, 12]),
        ("uniform", 6, 12, [2, 4, 6, 8, 10, 12]),
        ("uniform", 3, 3, [1, 2, 3]),
        ("uniform", 1, 12, [12]),
        # m N / M = 2.4, 4.8, 7.2, 9.6, 12
        ("uniform", 5, 12, [2, 5, 7, 10, 12]),
        # 1.5, 3, 4.5, 6: halves go up
        ("uniform", 4, 6, [2, 3, 5, 6]),
        # A student deeper than its teacher: 0.33, 0.67, 1, 1.33, 1.67, 2
        ("uniform", 6, 2, [1, 1, 1, 1, 2, 2]),
        ("top", 4, 12, [9, 10, 11, 12]),
        ("top", 2, 2, [1, 2]),
        ("bottom", 4, 12, [1, 2, 3, 4]),
        ("bottom", 2, 2, [1, 2]),
        ([2, 2, 1], 3, 2, [2, 2, 1]),
        ((12,), 1, 12, [12]),
    ],
)
def test_teacher_layer_of_each_student_layer(
    strategy: str | list[int], student: int, teacher: int, expected: list[int]
) -> None:
    got = layer_map(strategy, student_layers=student, teacher_layers=teacher)
    assert got == dict(enumerate(expected, start=1))


@pytest.mark.parametrize("student", range(1, 13))
@pytest.mark.parametrize("teacher", [6, 12, 24])
def test_uniform_ends_at_the_last_layer_and_never_goes_down(student: int, teacher: int) -> None:
    chosen = list(layer_map("uniform", student_layers=student, teacher_layers=teacher).values())
    assert chosen[-1] == teacher
    assert chosen == sorted(chosen)
    assert all(abs(layer - m * teacher / student) <= 0.5 for m, layer in enumerate(chosen, start=1))


@pytest.mark.parametrize(
    ("strategy", "student", "teacher", "message"),
    [
        ("middle", 2, 4, "unknown layer map 'middle'; expected uniform, top, bottom"),
        ("top", 5, 4, "as deep as the student: got 4 and 5 layers"),
        ("bottom", 5, 4, "as deep as the student: got 4 and 5 layers"),
        ([1, 2, 3], 2, 4, "expected 2 teacher layers from 1 to 4"),
        ([1], 2, 4, "expected 2 teacher layers from 1 to 4"),
        ([0, 2], 2, 4, r"\[0, 2\] does not fit"),
        ([2, 5], 2, 4, r"\[2, 5\] does not fit"),
    ],
)
def test_a_map_that_does_not_fit_is_refused(
    strategy: str | list[int], student: int, teacher: int, message: str
) -> None:
    with pytest.raises(ShapeError, match=message):
        layer_map(strategy, student_layers=student, teacher_layers=teacher)
