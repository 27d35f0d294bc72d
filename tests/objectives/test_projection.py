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


def ridge_fit(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Least squares with rows that pull the weights to zero, a thousandth as heavy as the states."""
    width = student.shape[1]
    pull = (1e-3 * student.double().square().sum() / width).sqrt() * torch.eye(width, dtype=torch.float64)
    nothing = torch.zeros(width, teacher.shape[1], dtype=torch.float64)
    both = torch.cat([student.double(), pull]), torch.cat([teacher.double(), nothing])
    fitted: torch.Tensor = torch.linalg.lstsq(*both).solution
    return fitted.float()


def test_least_squares_recovers_a_known_map_up_to_a_thousandth() -> None:
    weight, student = states(4, 7, seed=1), states(4000, 4)
    fit = LeastSquares()
    fit.add(student, student @ weight)
    assert fit.solve().dtype == torch.float32
    torch.testing.assert_close(fit.solve(), weight / 1.001, rtol=1e-4, atol=1e-4)


def test_least_squares_in_pieces_is_that_of_all_at_once() -> None:
    student, teacher = states(100, 4), states(100, 7, seed=1)
    at_once, in_pieces = LeastSquares(), LeastSquares()
    at_once.add(student, teacher)
    for part in (slice(0, 60), slice(60, 99), slice(99, 100)):
        in_pieces.add(student[part], teacher[part])
    torch.testing.assert_close(at_once.solve(), in_pieces.solve())


@pytest.mark.parametrize(("tokens", "width"), [(50, 4), (3, 8)])
def test_least_squares_of_noisy_states_is_what_torch_finds(tokens: int, width: int) -> None:
    student, teacher = states(tokens, width), states(tokens, 3, seed=1)
    fit = LeastSquares()
    fit.add(student, teacher)
    torch.testing.assert_close(fit.solve(), ridge_fit(student, teacher), rtol=1e-4, atol=1e-5)


def test_linearly_dependent_channels_give_a_good_finite_map() -> None:
    free, weight = states(100, 3), states(3, 5, seed=1)
    student = torch.cat([free, -free.sum(1, keepdim=True)], dim=1)
    fit = LeastSquares()
    fit.add(student, free @ weight)
    assert fit.solve().abs().max() < 10
    torch.testing.assert_close(fit.solve(), ridge_fit(student, free @ weight), rtol=1e-4, atol=1e-5)
    error = (student @ fit.solve() - free @ weight).square().mean() / (free @ weight).square().mean()
    assert error < 1e-4


def test_a_sum_of_channels_that_hardly_varies_is_no_intercept() -> None:
    """What LayerNorm with small biases leaves: to move such a sum a little must not move the fit a lot."""
    student = states(500, 16)
    student = student - student.mean(1, keepdim=True) + 0.002
    teacher = states(500, 4, seed=1) + 3.0
    fit = LeastSquares()
    fit.add(student, teacher)
    before = (student @ fit.solve() - teacher).square().mean()
    after = ((student + 0.001) @ fit.solve() - teacher).square().mean()
    assert after < 1.01 * before


def test_no_tokens_is_an_error() -> None:
    with pytest.raises(ShapeError, match="give calibration texts"):
        LeastSquares().solve()
