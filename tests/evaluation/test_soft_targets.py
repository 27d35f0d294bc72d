"""Probabilities as logits, and several teachers' predictions as one's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, softmax

from bertling.errors import ShapeError
from bertling.evaluation.soft_targets import as_logits, averaged


def test_logits_have_the_probabilities_that_they_were_made_from() -> None:
    likely = np.asarray([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    np.testing.assert_allclose(softmax(as_logits(likely), axis=1), likely, atol=1e-7)
    each = np.asarray([[0.7, 0.2, 1.0], [0.0, 0.5, 1e-4]])
    made = as_logits(each, multi_label=True)
    np.testing.assert_allclose(expit(made), each, atol=1e-7)
    assert np.isfinite(made).all()
    numbers = as_logits(np.asarray([[-3.5], [40.0]]), regression=True)
    assert numbers.tolist() == [[-3.5], [40.0]]


def test_a_temperature_takes_the_root_of_probabilities_and_a_zero_stays_next_to_nothing() -> None:
    likely = np.asarray([[0.81, 0.16, 0.03, 0.0]])
    softened = softmax(as_logits(likely) / 2.0, axis=1)
    np.testing.assert_allclose(softened, np.sqrt(likely) / np.sqrt(likely).sum(), atol=1e-6)
    assert softmax(as_logits(likely) / 5.0, axis=1)[0, 3] < 1e-5


def test_the_weighted_mean_is_of_probabilities_not_of_logits() -> None:
    sure, unsure = np.asarray([[40.0, 0.0]], np.float32), np.asarray([[-1.0, 1.0]], np.float32)
    likely = [softmax(values, axis=1) for values in (sure, unsure)]
    np.testing.assert_allclose(
        softmax(averaged([sure, unsure], [1.0, 3.0]), axis=1),
        (likely[0] + 3 * likely[1]) / 4,
        atol=1e-6,
    )
    # The mean of the logits would follow the one with the large ones.
    assert averaged([sure, unsure], [1.0, 3.0]).argmax() == 1
    assert ((sure + 3 * unsure) / 4).argmax() == 0
    shifted = averaged([sure + 100, unsure - 7], [1.0, 3.0])
    np.testing.assert_allclose(
        softmax(shifted, axis=1), softmax(averaged([sure, unsure], [1, 3]), axis=1), atol=1e-6
    )


def test_numbers_and_several_labels_are_averaged_each_in_their_own_way() -> None:
    numbers = [np.asarray([[1.0], [2.0]], np.float32), np.asarray([[3.0], [8.0]], np.float32)]
    assert averaged(numbers, [1.0, 1.0], regression=True).tolist() == [[2.0], [5.0]]
    labels = [np.asarray([[2.0, -1.0]], np.float32), np.asarray([[-3.0, 30.0]], np.float32)]
    np.testing.assert_allclose(
        expit(averaged(labels, [1.0, 1.0], multi_label=True)),
        (expit(labels[0]) + expit(labels[1])) / 2,
        atol=1e-6,
    )


def test_a_single_teacher_is_taken_at_its_word() -> None:
    logits = np.asarray([[5.0, -2.0]], np.float32)
    assert averaged([logits], [7.0]) is logits


@pytest.mark.parametrize(
    ("shapes", "weights"), [([], []), ([(2, 2)], [0.0]), ([(2, 2)], [1.0, 1.0]), ([(2, 2), (2, 3)], [1, 1])]
)
def test_teachers_that_do_not_fit_together_are_refused(
    shapes: list[tuple[int, int]], weights: list[float]
) -> None:
    with pytest.raises(ShapeError, match="expected"):
        averaged([np.zeros(shape, np.float32) for shape in shapes], weights)
