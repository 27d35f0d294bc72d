from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon, pdist, squareform

from bertling.errors import ModelError
from bertling.evaluation.head_map import HeadDivergences, map_heads


def weights(heads: int, tokens: int, *, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(2, heads, tokens, tokens, generator=generator)).softmax(-1)


def test_divergences_are_the_means_over_tokens_of_scipys() -> None:
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    batch = weights(3, 4, seed=0).masked_fill(~mask[:, None, None, :], 0.0)
    batch = batch / batch.sum(-1, keepdim=True)
    batch = batch.masked_fill(~mask[:, None, :, None], torch.nan)
    expected = np.zeros((3, 3))
    rows = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]
    for one in range(3):
        for other in range(3):
            pairs = [(batch[b, one, i].numpy(), batch[b, other, i].numpy()) for b, i in rows]
            expected[one, other] = np.mean([jensenshannon(p, q) ** 2 for p, q in pairs])
    whole, parts = HeadDivergences(), HeadDivergences()
    whole.add(batch, mask)
    for row in range(2):
        parts.add(batch[[row]], mask[[row]])
    np.testing.assert_allclose(whole.means(), expected, atol=1e-6)
    np.testing.assert_allclose(parts.means(), expected, atol=1e-6)


def test_a_share_of_the_tokens_is_near_all_of_them_and_the_same_each_time() -> None:
    batch, mask = weights(4, 60, seed=0), torch.ones(2, 60, dtype=torch.bool)
    found = []
    for share in (1.0, 0.5, 0.5):
        divergences = HeadDivergences(share=share)
        divergences.add(batch, mask)
        found.append(divergences.means())
    assert np.array_equal(found[1], found[2])
    assert not np.array_equal(found[0], found[1])
    np.testing.assert_allclose(found[1], found[0], atol=0.05)


def test_heads_without_a_text_are_an_error() -> None:
    with pytest.raises(ModelError, match="no texts"):
        HeadDivergences().means()


def test_points_of_a_plane_keep_their_distances() -> None:
    points = np.random.default_rng(0).normal(size=(9, 2))
    distances = squareform(pdist(points))
    placed, explained = map_heads(distances**2)
    np.testing.assert_allclose(squareform(pdist(placed)), distances, atol=1e-9)
    assert explained == pytest.approx(1.0)


def test_what_a_plane_cannot_show_is_told() -> None:
    """The corners of a regular simplex: three equal directions, of which two are shown."""
    _, explained = map_heads(1 - np.eye(4))
    assert explained == pytest.approx(2 / 3)


@pytest.mark.parametrize("size", [1, 2])
def test_few_heads_have_places_too(size: int) -> None:
    placed, explained = map_heads(1 - np.eye(size))
    assert placed.shape == (size, 2)
    assert explained == pytest.approx(1.0)
