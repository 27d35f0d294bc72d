"""Fill a teacher cache: canonical batches, shared out among processes, taken up again after a kill.

N rows, R tokens of all rows, T tokens.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from numpy.lib.format import open_memmap
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from bertling.data.collation import PadToLongest
from bertling.data.pieces import starts_of
from bertling.data.tokenization import TokenRows
from bertling.errors import DataError, ModelError
from bertling.files import write_whole
from bertling.models.anatomy import anatomy_of
from bertling.models.capture import observe
from bertling.states import EncoderStates, Parts
from bertling.training.teacher_cache import TeacherCache, part_names, part_values

# Raised when what a cache holds changes.
_VERSION = 1
_BATCH_TOKENS = 4096
_BATCHES_BETWEEN_NOTES = 50
_NONE = Parts()


def fill_teacher_cache(
    teacher: PreTrainedModel,
    rows: TokenRows,
    parts: Parts,
    *,
    folder: Path,
    tokenizer: PreTrainedTokenizerBase,
    beside: Parts = _NONE,
    max_bytes: float | None = None,
    precision: Literal["float32", "bfloat16"] = "float32",
    device: torch.device | None = None,
    process: int = 0,
    processes: int = 1,
    wait: Callable[[], None] = lambda: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> TeacherCache:
    """Run the teacher once over all rows and keep what it shows.

    What lies in the folder already is not computed again, and a killed filling goes on. A cache is known by
    its content: the teacher's weights and configuration, the rows' tokens and the precision. So one folder
    can serve several data sets, teachers and objectives.

    Args:
        teacher: put into eval mode and onto ``device``.
        rows: not packed.
        parts: what to keep, such as ``objective.teacher_parts``.
        folder: of all caches; each has a folder of its own in it.
        tokenizer: for padding.
        beside: further parts to keep, for a stage that reads them from the same folder later.
        max_bytes: the most that this cache may take on disk.
        precision: ``bfloat16`` runs the teacher under autocast.
        device: where the teacher runs; default: where it is.
        process, processes: this process, from 0, of so many that fill the cache together.
        wait: until all of them are here.
        progress: told the tokens done by this process and its share of all tokens, now and then.

    Returns:
        The cache, which takes the teacher's place in a `DistillationTrainer`.

    Raises:
        DataError: packed rows, attention scores that cannot be kept, more bytes than may be, or states that
            float16 cannot hold.
        ModelError: the teacher does not show what is asked for.
    """
    if rows.packed:
        raise DataError(
            "a teacher cache keeps one text or pair a row, and these rows are packed: set packed = false, or "
            "do without the cache"
        )
    if not can_keep(teacher, parts):
        raise DataError(
            "a teacher cache keeps queries and keys, and the attention scores of "
            f"{teacher.config.model_type!r} are more than their products: do without the cache "
            "(teacher_cache = 'never')"
        )
    teacher.eval()
    # mypy knows PreTrainedModel.to as untyped
    nn.Module.to(teacher, device or teacher.device)
    show = _Teacher(teacher, rows, PadToLongest(tokenizer), parts | beside, precision)
    sample = show([int(np.argmin(rows.lengths))])
    shapes = _shapes(sample, parts | beside)
    own = folder / _key(teacher, rows, precision)
    filling = _Filling(
        own,
        shapes,
        rows,
        logits_by_token="logits" in shapes and _logits_by_token(sample),
        process=process,
        processes=processes,
    )
    needed = filling.bytes_to_write()
    if max_bytes is not None and needed > max_bytes:
        raise DataError(
            f"the teacher cache of {len(rows):,} texts would take {needed / 2**30:.1f} GiB, and "
            f"{max_bytes / 2**30:.1f} GiB are allowed or free: allow more, or do without the cache"
        )
    if filling.names:
        if process == 0:
            filling.prepare()
        wait()
        filling.work(show, progress)
        wait()
        if process == 0:
            filling.publish()
        wait()
    scaling = {layer: state.scaling for layer, state in sample.attention.items()}
    windows = {layer: state.window for layer, state in sample.attention.items()}
    return TeacherCache(own, rows.lengths, parts, scaling, windows)


def can_keep(teacher: PreTrainedModel, parts: Parts) -> bool:
    """Whether a cache can hold these parts of this teacher.

    Scores that are more than products of queries and keys would take a T x T matrix for each text.
    """
    return not (parts.attention and anatomy_of(teacher.config).taps_softmax)


def teacher_cache_bytes(
    teacher: PreTrainedModel, rows: TokenRows, parts: Parts, *, tokenizer: PreTrainedTokenizerBase
) -> int:
    """What a cache of these parts takes on disk; the teacher looks at one row to find out."""
    show = _Teacher(teacher.eval(), rows, PadToLongest(tokenizer), parts, "float32")
    sample = show([int(np.argmin(rows.lengths))])
    return _bytes(_shapes(sample, parts), rows, by_token=_logits_by_token(sample))


class _Teacher:
    """Shows rows by their numbers."""

    def __init__(
        self,
        teacher: PreTrainedModel,
        rows: TokenRows,
        pad: PadToLongest,
        parts: Parts,
        precision: str,
    ) -> None:
        self._teacher = teacher
        self._rows = rows
        self._pad = pad
        self._parts = parts
        self._precision = precision

    @torch.no_grad()
    def __call__(self, members: list[int]) -> EncoderStates:
        device = self._teacher.device
        inputs = self._pad([_inputs(self._rows[row]) for row in members])
        with torch.autocast(device.type, torch.bfloat16, enabled=self._precision == "bfloat16"):
            return observe(
                self._teacher,
                {name: values.to(device) for name, values in inputs.items()},
                attention_layers=self._parts.captured,
            )


class _Filling:
    """The files of a cache that are not there yet."""

    def __init__(
        self,
        folder: Path,
        shapes: Mapping[str, tuple[int, ...]],
        rows: TokenRows,
        *,
        logits_by_token: bool,
        process: int,
        processes: int,
    ) -> None:
        self._folder = folder
        self._logits_by_token = logits_by_token
        self._shapes = shapes
        self._rows = rows
        self._process = process
        self._processes = processes
        self.names = [name for name in shapes if not (folder / f"{name}.npy").exists()]

    def bytes_to_write(self) -> int:
        """What the missing files still take; what a killed filling has written counts as written."""
        missing = {name: self._shapes[name] for name in self.names}
        partials = [self._partial(name) for name in self.names]
        # sparse, where room cannot be taken beforehand: blocks are taken as they are written
        written = sum(path.stat().st_blocks * 512 for path in partials if path.exists())
        return max(0, _bytes(missing, self._rows, by_token=self._logits_by_token) - written)

    def prepare(self) -> None:
        """Empty files to write into, unless those of the same filling are there."""
        self._folder.mkdir(parents=True, exist_ok=True)
        started = self._folder / "started.json"
        this = json.dumps([self.names, self._processes])
        if started.exists() and started.read_text() == this:
            return
        started.unlink(missing_ok=True)
        for left in [*self._folder.glob("*.partial"), *self._folder.glob("done-*")]:
            left.unlink()
        for name in self.names:
            by_row = name == "logits" and not self._logits_by_token
            count = len(self._rows) if by_row else int(self._rows.lengths.sum(dtype=np.int64))
            dtype = np.float32 if name == "logits" else np.float16
            open_memmap(self._partial(name), mode="w+", dtype=dtype, shape=(count, *self._shapes[name]))
            _take_room(self._partial(name))
        write_whole(started, this)

    def work(self, show: _Teacher, progress: Callable[[int, int], None]) -> None:
        """Write this process's batches."""
        arrays = {name: np.load(self._partial(name), mmap_mode="r+") for name in self.names}
        starts = starts_of(self._rows.lengths)
        batches = list(_batches(self._rows.lengths))[self._process :: self._processes]
        note = self._folder / f"done-{self._process}"
        done = int(note.read_text()) if note.exists() else 0
        tokens = starts_of(np.asarray([self._rows.lengths[batch].sum() for batch in batches], dtype=np.int64))
        for number in range(done, len(batches)):
            members = [int(row) for row in batches[number]]
            states = show(members)
            for name, array in arrays.items():
                _write(array, part_values(states, name), members, starts, name, mask=states.mask)
            if (number + 1) % _BATCHES_BETWEEN_NOTES == 0:
                for array in arrays.values():
                    array.flush()
                write_whole(note, str(number + 1))
            progress(int(tokens[number + 1]), int(tokens[-1]))
        for array in arrays.values():
            array.flush()

    def publish(self) -> None:
        """Give the files their names: from now on they are whole."""
        for name in self.names:
            self._partial(name).replace(self._folder / f"{name}.npy")
        for left in [self._folder / "started.json", *self._folder.glob("done-*")]:
            left.unlink(missing_ok=True)

    def _partial(self, name: str) -> Path:
        return self._folder / f"{name}.npy.partial"


def _write(
    array: npt.NDArray[Any],
    values: Tensor,
    members: list[int],
    starts: npt.NDArray[np.int64],
    name: str,
    *,
    mask: Tensor,
) -> None:
    kept = (values.float() if name == "logits" else values.half()).cpu().numpy()
    if name == "logits" and kept.ndim == 2:
        array[members] = kept
        return
    # Of all members, one after the other; a pair whose texts are encoded apart has two rows of states.
    real = kept[mask.cpu().numpy()]
    if not np.isfinite(real).all():
        raise DataError(
            f"the teacher's {name} holds values that are not finite, or larger than float16 can hold: "
            "do without the cache (teacher_cache = 'never')"
        )
    done = 0
    for row in members:
        first, last = starts[row : row + 2]
        array[first:last] = real[done : done + last - first]
        done += last - first


def _take_room(file: Path) -> None:
    """Take a sparse file's blocks now: to write into a mapped one on a full disk kills the process."""
    if hasattr(os, "posix_fallocate"):  # not everywhere
        with file.open("r+b") as opened:
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)


def _batches(lengths: npt.NDArray[np.int32]) -> Iterator[npt.NDArray[np.int64]]:
    """Rows of like length, longest first; the same for any number of processes."""
    order = np.argsort(-lengths.astype(np.int64), kind="stable")
    start = 0
    while start < len(order):
        count = max(1, _BATCH_TOKENS // max(1, int(lengths[order[start]])))
        yield order[start : start + count]
        start += count


def _inputs(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: item[name] for name in ("input_ids", "token_type_ids", "text_lengths") if name in item}


def _shapes(sample: EncoderStates, parts: Parts) -> dict[str, tuple[int, ...]]:
    """Shape of each part for one token, or one row."""
    if parts.logits and sample.logits is None:
        raise ModelError("the teacher gives no logits: it has no head; load it as a classifier")
    return {
        name: tuple(values.shape[-1:] if name == "logits" else values.shape[2:])
        for name in part_names(parts)
        for values in [part_values(sample, name)]
    }


def _logits_by_token(sample: EncoderStates) -> bool:
    """Whether the teacher answers for each token: of words."""
    return sample.logits is not None and sample.logits.dim() == 3


def _bytes(shapes: Mapping[str, tuple[int, ...]], rows: TokenRows, *, by_token: bool) -> int:
    tokens = int(rows.lengths.sum(dtype=np.int64))
    logits = 4 * (tokens if by_token else len(rows))
    return sum(
        int(np.prod(shape)) * (logits if name == "logits" else 2 * tokens) for name, shape in shapes.items()
    )


def _key(teacher: PreTrainedModel, rows: TokenRows, precision: str) -> str:
    """Hash of everything that decides what the teacher shows."""
    digest = hashlib.sha256(f"{_VERSION} {precision}\n".encode())
    digest.update(teacher.config.to_json_string(use_diff=False).encode())
    for name, values in teacher.state_dict().items():
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    digest.update(np.ascontiguousarray(rows.lengths).data)
    for row in range(len(rows)):
        for values in _inputs(rows[row]).values():
            digest.update(np.ascontiguousarray(values, dtype=np.int64).data)
    return digest.hexdigest()[:32]
