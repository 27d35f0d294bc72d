"""What a teacher shows of every row of a data set: computed once, mapped from disk in every epoch.

A teacher in eval mode shows the same of a text every time, and to run it is most of a distillation step's
work. A cache takes its place: ``DistillationTrainer(student, objective, teacher=cache, ...)``.

N rows, R tokens of all rows, B batch, T tokens, D width, H heads, d head width, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bertling.data.pieces import starts_of
from bertling.errors import DataError
from bertling.states import AttentionState, EncoderStates, Parts

Arrays = dict[str, npt.NDArray[np.generic]]


class TeacherCache:
    """A filled cache; `fill_teacher_cache` makes one.

    In ``folder`` lie, one file each, ``embedding`` and ``hidden.L`` (R, D), ``query.L``, ``key.L`` and
    ``value.L`` (R, H, d) in float16, and ``logits`` in float32: (N, C), or (R, C) of a teacher of words.

    Args:
        folder: where the files lie.
        lengths: (N,) tokens of each row.
        parts: which of the files to read.
        scaling: teacher layer -> the factor that it puts on its attention scores.
        windows: teacher layer -> how many places apart it compares tokens, or None.

    Raises:
        DataError: a file is missing or not whole.
    """

    def __init__(
        self,
        folder: Path,
        lengths: npt.NDArray[np.int32],
        parts: Parts,
        scaling: Mapping[int, float],
        windows: Mapping[int, int | None],
    ) -> None:
        self.parts = parts
        self._scaling = dict(scaling)
        self._windows = dict(windows)
        self._starts = starts_of(lengths)
        self._arrays: Arrays = {}
        for name in part_names(parts):
            try:
                # Plain views: to slice a np.memmap takes several times as long.
                array = np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r"))
            except (OSError, ValueError, EOFError) as error:
                raise DataError(
                    f"the teacher cache in {folder} cannot be read ({error}): delete it to fill it again"
                ) from error
            counts = [int(self._starts[-1]), *[len(lengths)] * (name == "logits")]
            if len(array) not in counts:
                raise DataError(
                    f"{folder / name}.npy does not belong to these {len(lengths)} texts: delete {folder} to "
                    "fill it again"
                )
            self._arrays[name] = array

    @property
    def logits(self) -> npt.NDArray[np.float32]:
        """(N, C), or (R, C) of a teacher of words; mapped from disk."""
        return self._arrays["logits"].astype(np.float32, copy=False)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, row: int) -> Arrays:
        """What the teacher shows of one row: (T, ...) for each part, (C,) for the logits of a text."""
        span = slice(self._starts[row], self._starts[row + 1])
        return {
            # There are fewer rows than tokens: each row has special ones.
            name: array[row if len(array) == len(self) else span]
            for name, array in self._arrays.items()
        }

    def states(self, taught: Mapping[str, Tensor], mask: Tensor) -> EncoderStates:
        """A batch as the teacher would have shown it, in float32; parts that are not kept are empty.

        Args:
            taught: from `pad_taught`.
            mask: (B, T) bool, True for real tokens.
        """
        # Between models and losses half precision is for storage alone.
        wide = {name: values.float() for name, values in taught.items()}
        none = torch.empty(0, device=mask.device)

        def heads(name: str, layer: int) -> Tensor:
            return wide[f"{name}.{layer}"].transpose(1, 2) if f"{name}.{layer}" in wide else none

        return EncoderStates(
            mask=mask,
            embedding=wide.get("embedding", none),
            hidden={layer: wide[f"hidden.{layer}"] for layer in self.parts.hidden},
            attention={
                layer: AttentionState(
                    heads("query", layer),
                    heads("key", layer),
                    heads("value", layer),
                    self._scaling[layer],
                    window=self._windows[layer],
                )
                for layer in self.parts.captured
            },
            logits=wide.get("logits"),
        )


class SoftTargets(TeacherCache):
    """Predictions alone, whoever made them: a teacher with another tokenizer, several teachers, a black box.

    Takes the teacher's place in a `DistillationTrainer` whose objective reads nothing else of it.

    Args:
        logits: (N, C); of probabilities their logarithms.
        lengths: (N,) tokens of each row that the student reads.

    Raises:
        DataError: another number of rows, or logits that are NaN or infinite.
    """

    def __init__(self, logits: npt.NDArray[np.floating], lengths: npt.NDArray[np.int32]) -> None:
        if logits.ndim != 2 or len(logits) != len(lengths):
            raise DataError(
                f"soft targets of shape {logits.shape} for {len(lengths)} texts: expected (texts, classes)"
            )
        if wrong := int((~np.isfinite(logits)).any(1).sum()):
            raise DataError(
                f"soft targets of {wrong:,} of {len(logits):,} texts are NaN or infinite: for a probability "
                "of 0 give the logarithm of a small one, such as 1e-30"
            )
        self.parts = Parts(logits=True)
        self._scaling = {}
        self._windows = {}
        self._starts = starts_of(lengths)
        self._arrays = {"logits": logits.astype(np.float32, copy=False)}


def pad_taught(rows: Sequence[Arrays], real: npt.NDArray[np.bool_]) -> dict[str, Tensor]:
    """Rows of a cache as a batch: (B, T, ...) with zeros for padding, but (B, C) for the logits of texts.

    Args:
        rows: B of them.
        real: (B, T), True for real tokens.
    """
    padded = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        if name == "logits" and values[0].ndim == 1:
            padded[name] = torch.from_numpy(np.stack(values))
        else:
            filled = np.zeros((*real.shape, *values[0].shape[1:]), dtype=values[0].dtype)
            filled[real] = np.concatenate(values)
            padded[name] = torch.from_numpy(filled)
    return padded


def part_names(parts: Parts) -> list[str]:
    """Names of the files that hold these parts."""
    return [
        *["embedding"] * parts.embedding,
        *(f"hidden.{layer}" for layer in sorted(parts.hidden)),
        *(f"{name}.{layer}" for layer in sorted(parts.attention) for name in ("query", "key")),
        *(f"value.{layer}" for layer in sorted(parts.values)),
        *["logits"] * parts.logits,
    ]


def part_values(states: EncoderStates, name: str) -> Tensor:
    """The part that a file holds: (B, T, D) or (B, T, H, d); (B, C) or (B, T, C) for the logits."""
    part, _, layer = name.partition(".")
    if part == "logits":
        assert states.logits is not None
        return states.logits
    if part == "embedding":
        return states.embedding
    if part == "hidden":
        return states.hidden[int(layer)]
    values: Tensor = getattr(states.attention[int(layer)], part)
    return values.transpose(1, 2)
