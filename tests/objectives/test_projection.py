from __future__ import annotations

import pytest
import torch

from bertling.errors import ShapeError
from bertling.objectives.projection import LeastSquares, Projection


def states(tokens: int, width: int, *, seed: int = 0) -> torch.Tensor:
    return torch.randn(tokens, width, generator=torch.Generator().manual_seed(seed))


def test_equal_widths_need_no_parameters() -> None:
    projection = Projection(6, 6)
    assert list(projection.parameters()) == []
    assert projection.state_dict() == {}
    x = states(4, 6)
    assert projection(x) is x


def test_other_widths_are_mapped_by_one_matrix_without_bias() -> None:
    projection = Projection(2, 3)
    assert [tuple(p.shape) for p in projection.parameters()] == [(3, 2)]
    weight = torch.tensor([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]])
    projection.set_weight(weight)
    assert projection(torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]])).tolist() == [
        [[1.0, 2.0, 3.0], [10.0, 20.0, 30.0], [11.0, 22.0, 33.0]]
    ]
    assert all(p.requires_grad for p in projection.parameters())


def test_an_identity_stays_one() -> None:
    projection = Projection(2, 2)
    projection.set_weight(torch.zeros(2, 2))
    assert projection(torch.ones(1, 2)).tolist() == [[1.0, 1.0]]


def test_least_squares_recovers_a_known_map_in_pieces_as_at_once() -> None:
    weight, student = states(4, 7, seed=1), states(100, 4)
    at_once, in_pieces = LeastSquares(), LeastSquares()
    at_once.add(student, student @ weight)
    for part in student.split([60, 39, 1]):
        in_pieces.add(part, part @ weight)
    assert at_once.solve().dtype == torch.float32
    torch.testing.assert_close(at_once.solve(), weight, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(at_once.solve(), in_pieces.solve())


def test_least_squares_of_noisy_states_is_what_torch_finds() -> None:
    student, teacher = states(50, 4), states(50, 3, seed=1)
    fit = LeastSquares()
    fit.add(student, teacher)
    torch.testing.assert_close(
        fit.solve(), torch.linalg.lstsq(student, teacher).solution, rtol=1e-4, atol=1e-4
    )


def test_linearly_dependent_channels_still_give_a_good_finite_map() -> None:
    free, weight = states(100, 3), states(3, 5, seed=1)
    student = torch.cat([free, -free.sum(1, keepdim=True)], dim=1)
    fit = LeastSquares()
    fit.add(student, free @ weight)
    assert fit.solve().abs().max() < 10
    torch.testing.assert_close(student @ fit.solve(), free @ weight, rtol=1e-3, atol=1e-3)


def test_fewer_tokens_than_channels_are_fitted_all_the_same() -> None:
    student, teacher = states(3, 8), states(3, 2, seed=1)
    fit = LeastSquares()
    fit.add(student, teacher)
    torch.testing.assert_close(student @ fit.solve(), teacher, rtol=1e-3, atol=1e-3)


def test_no_tokens_is_an_error() -> None:
    with pytest.raises(ShapeError, match="give calibration texts"):
        LeastSquares().solve()
