from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from bertling.data.packing import pack, reorder
from bertling.data.pieces import starts_of
from bertling.errors import ShapeError


def blocks(lengths: list[int], limit: int) -> list[list[int]]:
    """The pieces of each block."""
    order, starts = pack(np.asarray(lengths, dtype=np.int64), limit)
    return [order[starts[block] : starts[block + 1]].tolist() for block in range(len(starts) - 1)]


def drawn(seed: int) -> tuple[npt.NDArray[np.int64], int]:
    """Lengths of some pieces, of 3 tokens up to a limit, in one of several distributions."""
    random = np.random.default_rng(seed)
    limit = int(random.integers(3, 200))
    count = int(random.integers(0, 400))
    lengths = random.integers(3, limit + 1, count) if seed % 2 else random.geometric(0.1, count) + 2
    return np.minimum(lengths, limit), limit


def test_pieces_are_placed_from_the_longest_into_the_fullest_block_with_room() -> None:
    # 9 | 6 and 4 | 5 and 3, which fits behind 6 as well, but not behind 6 and 4 | 3 more
    assert blocks([3, 5, 9, 3, 4, 6], 10) == [[0, 1], [2], [3], [4, 5]]
    assert blocks([10, 10], 10) == [[0], [1]]
    assert blocks([3, 3, 3, 3], 10) == [[0, 1, 2], [3]]


@pytest.mark.parametrize("seed", range(40))
def test_blocks_hold_every_piece_once_and_keep_to_the_limit(seed: int) -> None:
    lengths, limit = drawn(seed)
    order, starts = pack(lengths, limit)
    assert sorted(order.tolist()) == list(range(len(lengths)))
    assert starts[0] == 0
    assert starts[-1] == len(lengths)
    made = blocks(lengths.tolist(), limit)
    assert all(made)
    assert all(lengths[block].sum() <= limit for block in made)
    # In the order of the file, within a block and from block to block.
    assert all(block == sorted(block) for block in made)
    assert [block[0] for block in made] == sorted(block[0] for block in made)
    # Best fit leaves no two blocks that would fit into one.
    if len(made) > 1:
        assert sum(sorted(int(lengths[block].sum()) for block in made)[:2]) > limit


def test_blocks_are_nearly_full() -> None:
    lengths = np.minimum(np.random.default_rng(0).geometric(0.03, 5000) + 2, 128)
    _, starts = pack(lengths, 128)
    assert lengths.sum() / (128 * (len(starts) - 1)) > 0.995


def test_the_same_pieces_give_the_same_blocks() -> None:
    lengths, limit = drawn(3)
    for array, again in zip(pack(lengths, limit), pack(lengths.copy(), limit), strict=True):
        assert array.tolist() == again.tolist()


def test_a_piece_that_is_longer_than_a_block_is_refused() -> None:
    with pytest.raises(ShapeError, match="a piece has 11 tokens, a block at most 10"):
        pack(np.asarray([3, 11]), 10)


@pytest.mark.parametrize("seed", range(10))
def test_ids_move_with_their_pieces(seed: int) -> None:
    random = np.random.default_rng(seed)
    lengths = random.integers(1, 9, random.integers(0, 30))
    starts = starts_of(lengths)
    ids = random.integers(0, 1 << 16, lengths.sum()).astype(np.uint16)
    order = random.permutation(len(lengths))
    moved, moved_starts = reorder(ids, starts, order)
    assert moved.dtype == np.uint16
    pieces = [ids[starts[piece] : starts[piece + 1]].tolist() for piece in range(len(lengths))]
    got = [moved[moved_starts[place] : moved_starts[place + 1]].tolist() for place in range(len(lengths))]
    assert got == [pieces[piece] for piece in order]
