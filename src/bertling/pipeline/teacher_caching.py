"""Whether a distillation stage runs its teacher at every step, or reads what it showed from disk."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import torch
from transformers import PreTrainedModel

from bertling.data.tokenization import TokenRows
from bertling.errors import DataError
from bertling.files import write_whole
from bertling.objectives.objective import Objective
from bertling.pipeline.context import Context
from bertling.pipeline.stages import scratch
from bertling.recipe.schema import Recipe
from bertling.recipe.training_sections import DistillationSection, IntermediateSection
from bertling.states import Parts
from bertling.training.cache_filling import can_keep, fill_teacher_cache, teacher_cache_bytes
from bertling.training.teacher_cache import TeacherCache

_SECONDS_BETWEEN_LINES = 30.0
# Of a disk's free space; the rest is for checkpoints.
_SHARE_OF_FREE = 0.8


def cached(
    context: Context,
    folder: Path,
    section: DistillationSection,
    *,
    teacher: PreTrainedModel,
    objective: Objective,
    dataset: TokenRows,
    passes: float,
    device: torch.device,
) -> PreTrainedModel | TeacherCache:
    """The teacher, or a filled cache in its place.

    ``auto`` goes by what is known before: a cache of one's own pays from the second pass on. On a CPU it
    then always does: to read a token's states takes a few microseconds, to compute them a hundred and more.
    An accelerator computes them faster than a disk gives them, so there only logits are kept, a few bytes
    for each text. This is a rule and no measurement, so that the same recipe gives the same student: the
    cache rounds to half precision. What was decided is kept with the stage, for when it goes on.

    Raises:
        DataError: ``always``, and there is no room, or the rows are packed.
    """
    parts = objective.teacher_parts
    if not parts or section.teacher_cache == "never":
        return teacher
    decided = scratch(folder) / "teacher_cache.json"
    allowed = room(folder, section)

    def decide() -> bool:
        if section.teacher_cache == "always":
            return True
        if decided.exists():
            return bool(json.loads(decided.read_text()))
        use = pays(section, teacher, parts, passes=passes, packed=dataset.packed, device=device)
        use = use and teacher_cache_bytes(teacher, dataset, parts, tokenizer=context.tokenizer) <= allowed
        write_whole(decided, json.dumps(use))
        return use

    if not context.processes.from_first(decide):
        return teacher
    try:
        return fill_teacher_cache(
            teacher,
            dataset,
            parts,
            folder=context.teacher_caches,
            tokenizer=context.tokenizer,
            beside=_read_next(context.recipe, section),
            max_bytes=allowed,
            precision=section.precision,
            device=device,
            process=context.processes.rank,
            processes=context.processes.count,
            wait=context.processes.wait,
            progress=Lines(context, "teacher cache"),
        )
    except DataError as error:
        raise DataError(f"stage {folder.name.removesuffix('.partial')}: {error}") from error


def _read_next(recipe: Recipe, section: DistillationSection) -> Parts:
    """What the next stage reads of the same rows: a few bytes, and the teacher need not run again."""
    if recipe.task.sentence_embeddings:
        return Parts()  # there are no logits, and the last states are mostly kept anyway
    next_stage = recipe.prediction
    same_rows = (
        isinstance(section, IntermediateSection)
        and next_stage is not None
        and next_stage.teacher_cache != "never"
        and (next_stage.unlabelled, next_stage.precision) == (section.unlabelled, section.precision)
    )
    return Parts(logits=same_rows)


def pays(
    section: DistillationSection,
    teacher: PreTrainedModel,
    parts: Parts,
    *,
    passes: float,
    packed: bool,
    device: torch.device,
) -> bool:
    """Whether a stage keeps what its teacher shows, if there is room for it."""
    if section.teacher_cache != "auto" or not parts:
        return section.teacher_cache == "always" and bool(parts)
    if packed or not can_keep(teacher, parts):
        return False
    return passes >= 2 and (device.type == "cpu" or parts == Parts(logits=True))


def room(folder: Path, section: DistillationSection) -> float:
    """The most bytes that a teacher cache may take."""
    return min(section.teacher_cache_gib * 2**30, _SHARE_OF_FREE * shutil.disk_usage(folder).free)


class Lines:
    """A line now and then while a cache fills."""

    def __init__(self, context: Context, what: str) -> None:
        self._what = what
        self._console = context.console
        self._last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            self._console.print(f"{'':>14}{self._what}: {done:,} of {total:,} tokens", highlight=False)
