"""Which attention heads behave alike: Clark et al. 2019 (arXiv:1906.04341), section 6.

Heads are as far apart as the Jensen-Shannon divergence of their distributions, the mean over tokens. Its
square root is a distance of points in a Euclidean space (Fuglede and Topsoe 2004), and so is that of a mean
of such divergences; classical scaling shows the plane of that space in which heads lie widest apart.

B batch, N heads of all models, T tokens.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bertling.errors import ModelError

Matrix = npt.NDArray[np.float64]


class HeadDivergences:
    """Running sums of the Jensen-Shannon divergence between each two heads, in nats.

    Args:
        share: of the tokens whose distributions are compared, drawn at random: the work grows with the square
            of the number of heads.
    """

    def __init__(self, *, share: float = 1.0) -> None:
        self._share = share
        self._random = torch.Generator().manual_seed(0)
        self._sum: Tensor | None = None
        self._count = 0

    def add(self, weights: Tensor, mask: Tensor) -> None:
        """Take in attention weights after softmax, (B, N, T, T), of texts with real tokens (B, T)."""
        pairs = mask[:, None, :, None] & mask[:, None, None, :]
        rows = weights.detach().float().masked_fill(~pairs, 0.0).transpose(1, 2)[mask]
        drawn = torch.rand(len(rows), generator=self._random) < self._share
        self._count += int(drawn.sum())
        heads = rows[drawn.to(rows.device)].transpose(0, 1).flatten(1)
        entropies = torch.special.entr(heads).sum(1, dtype=torch.float64)
        found = torch.zeros(len(heads), len(heads), dtype=torch.float64)
        for head in range(len(heads) - 1):
            others = slice(head + 1, None)
            between = torch.special.entr((heads[head] + heads[others]) / 2).sum(1, dtype=torch.float64)
            found[head, others] = (between - (entropies[head] + entropies[others]) / 2).cpu()
        self._sum = found if self._sum is None else self._sum + found

    def means(self) -> Matrix:
        """(N, N), symmetric, 0 to log 2; raises ModelError if there was no text."""
        if self._sum is None or not self._count:
            raise ModelError("there are no texts to compare attention heads on; give at least one")
        upper = (self._sum / self._count).clamp(min=0.0).numpy()
        return np.asarray(upper + upper.T)


def map_heads(divergences: Matrix) -> tuple[Matrix, float]:
    """Heads as points of a plane, by classical multidimensional scaling.

    Args:
        divergences: (N, N), which are squares of distances.

    Returns:
        (N, 2), and the share of the points' variance that lies in this plane, 0 to 1.
    """
    size = len(divergences)
    centring = np.eye(size) - 1 / size
    values, vectors = np.linalg.eigh(-centring @ divergences @ centring / 2)
    values = values.clip(min=0.0)
    points = np.zeros((size, 2))
    for axis, column in enumerate(range(size - 1, max(size - 3, -1), -1)):
        vector = vectors[:, column] * np.sqrt(values[column])
        # An eigenvector's sign is anybody's choice.
        points[:, axis] = vector * (1 if vector[np.abs(vector).argmax()] >= 0 else -1)
    total = float(values.sum())
    return points, float(values[-2:].sum()) / total if total > 0 else 1.0
