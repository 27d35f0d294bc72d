from __future__ import annotations

import random

import numpy as np
import numpy.typing as npt
import pytest
import torch

from bertling.data.sampler import Draw, GroupedBatchSampler
from bertling.errors import DataError

Batches = list[list[Draw]]


def lengths(count: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(0).integers(3, 128, count)


def batches(
    count: int, *, batch_size: int = 4, seed: int = 0, processes: int = 1, rank: int = 0, epoch: int = 0
) -> Batches:
    sampler = GroupedBatchSampler(
        lengths(count), batch_size=batch_size, seed=seed, processes=processes, rank=rank
    )
    sampler.set_epoch(epoch)
    drawn = list(sampler)
    assert len(drawn) == len(sampler)
    return drawn


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 64, 1001])
def test_every_example_comes_once_with_weight_one_over_all_processes(count: int, processes: int) -> None:
    ranks = [batches(count, processes=processes, rank=rank) for rank in range(processes)]
    drawn = [draw for rank in ranks for batch in rank for draw in batch]
    assert sorted(draw.example for draw in drawn if draw.weight == 1) == list(range(count))
    assert {draw.weight for draw in drawn} <= {0.0, 1.0}
    assert len({len(rank) for rank in ranks}) == 1
    for step in zip(*ranks, strict=True):
        # Duplicates fill what would be empty, and nothing else.
        assert all(batch for batch in step)
        for batch in step:
            weights = [draw.weight for draw in batch]
            assert weights == [1.0] * len(batch) or weights == [0.0]
            assert len(batch) <= 4
        sizes = [sum(draw.weight for draw in batch) for batch in step]
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("count", [9, 64, 1001])
def test_processes_share_out_the_batches_of_one(count: int) -> None:
    """Two processes of batch 4 step through the same sets of examples as one of batch 8."""
    one = [{draw.example for draw in batch} for batch in batches(count, batch_size=8)]
    shared = [batches(count, processes=2, rank=rank) for rank in range(2)]
    two = [{draw.example for batch in step for draw in batch} for step in zip(*shared, strict=True)]
    assert one == two


def test_all_batches_are_full_but_one() -> None:
    sizes = [len(batch) for batch in batches(1001)]
    assert sorted(sizes) == [1] + [4] * 250


def test_the_order_is_a_function_of_seed_and_epoch_alone() -> None:
    sampler = GroupedBatchSampler(lengths(100), batch_size=4, seed=1)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    for generator in (random.seed, np.random.seed, torch.manual_seed):
        generator(99)
    state = torch.get_rng_state()
    assert list(sampler) == second
    sampler.set_epoch(0)
    assert list(sampler) == first
    assert torch.equal(torch.get_rng_state(), state)
    assert first != second
    assert batches(100, seed=1, epoch=1) == second
    assert batches(100, seed=2) != first
    assert batches(100, seed=0, epoch=1) != batches(100, seed=1, epoch=0)


def test_epochs_mix_which_examples_share_a_batch() -> None:
    def groups(epoch: int) -> set[frozenset[int]]:
        return {frozenset(draw.example for draw in batch) for batch in batches(2000, epoch=epoch)}

    assert len(groups(0) & groups(1)) < 50


def test_batches_group_examples_of_like_length() -> None:
    count = 64 * 4 * 3
    all_lengths = lengths(count)

    def padding(groups: list[list[int]]) -> int:
        return sum(int(len(group) * all_lengths[group].max() - all_lengths[group].sum()) for group in groups)

    grouped = [[draw.example for draw in batch] for batch in batches(count)]
    at_random = np.random.default_rng(0).permutation(count).reshape(-1, 4).tolist()
    assert padding(grouped) < padding(at_random) / 10


def test_short_and_long_batches_come_mixed() -> None:
    means = [np.mean([lengths(256)[draw.example] for draw in batch]) for batch in batches(256)]
    assert means != sorted(means)
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.5


def test_an_empty_training_set_is_refused() -> None:
    with pytest.raises(DataError, match="training set is empty"):
        GroupedBatchSampler(np.asarray([]), batch_size=4, seed=0)
