"""Pieces of text put together into blocks.

P pieces, N blocks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bertling.data.pieces import starts_of
from bertling.errors import ShapeError


def pack(
    lengths: npt.NDArray[np.int64], max_length_tokens: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Blocks of at most ``max_length_tokens``, by best fit decreasing.

    The pieces are placed from the longest to the shortest, each into the fullest block that still has room
    for it. Blocks stand in the order of their first pieces, and so do the pieces within a block.

    Args:
        lengths: (P,) tokens of each piece.
        max_length_tokens: of a block.

    Returns:
        (P,) the pieces in the order of the blocks, and (N+1,) where each block starts in that order.

    Raises:
        ShapeError: a piece is longer than a block.
    """
    if lengths.size and lengths.max() > max_length_tokens:
        raise ShapeError(f"a piece has {lengths.max()} tokens, a block at most {max_length_tokens}")
    blocks_with_room: list[list[int]] = [[] for _ in range(max_length_tokens + 1)]
    rooms = 0  # bit r is set where a block has room for r tokens
    block_of = np.empty(len(lengths), np.int64)
    count = 0
    longest_first = np.argsort(-lengths, kind="stable")
    for piece, length in zip(longest_first.tolist(), lengths[longest_first].tolist(), strict=True):
        if enough := rooms >> length:
            room = length + (enough & -enough).bit_length() - 1  # its lowest bit
            block = blocks_with_room[room].pop()
            if not blocks_with_room[room]:
                rooms ^= 1 << room
        else:
            block, room = count, max_length_tokens
            count += 1
        block_of[piece] = block
        if room > length:
            blocks_with_room[room - length].append(block)
            rooms |= 1 << (room - length)
    _, first_pieces = np.unique(block_of, return_index=True)
    rank = np.empty(count, np.int64)
    rank[np.argsort(first_pieces)] = np.arange(count)
    ranks = rank[block_of]
    return np.argsort(ranks, kind="stable"), starts_of(np.bincount(ranks, minlength=count))


def reorder(
    ids: npt.NDArray[Any], starts: npt.NDArray[np.int64], order: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """The flat ids and (P+1,) starts of the pieces in another order."""
    lengths = np.diff(starts)[order]
    moved = starts_of(lengths)
    return ids[np.arange(len(ids)) + np.repeat(starts[order] - moved[:-1], lengths)], moved
