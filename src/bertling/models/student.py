"""Students: a shape, and weights that start at random, as copies of layers, or cut out of the teacher."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

from bertling.errors import ModelError, ShapeError
from bertling.models.anatomy import anatomy_of
from bertling.models.pruning import cut, measure_importance

Initialization = Literal["random", "layers", "prune"]


@dataclass(frozen=True, slots=True)
class Shape:
    """Size of an encoder. Raises ShapeError if the width is not a multiple of the heads.

    Attributes:
        layers: number of layers.
        width: hidden size.
        heads: attention heads in a layer.
        ffn: neurons of a layer's feed-forward network.
    """

    layers: int
    width: int
    heads: int
    ffn: int

    def __post_init__(self) -> None:
        if min(self.layers, self.width, self.heads, self.ffn) < 1:
            raise ShapeError(f"every part of a shape must be at least 1, got {self}")
        if self.width % self.heads:
            raise ShapeError(f"width {self.width} is not a multiple of heads {self.heads}")


PRESETS: dict[str, Shape] = {
    "tinybert-4l-312": Shape(layers=4, width=312, heads=12, ffn=1200),
    "tinybert-6l-768": Shape(layers=6, width=768, heads=12, ffn=3072),
}
"""The paper's two students (section 4.2)."""


def shape_of(config: PretrainedConfig) -> Shape:
    """Shape of a model of a supported architecture."""
    keys = anatomy_of(config)
    return Shape(
        *(getattr(config, key) for key in (keys.layers_key, keys.width_key, keys.heads_key, keys.ffn_key))
    )


def student_config(teacher: PretrainedConfig, shape: Shape) -> PretrainedConfig:
    """The teacher's configuration (vocabulary, positions, label names, dropout) with another shape."""
    keys = anatomy_of(teacher)
    config = copy.deepcopy(teacher)
    if getattr(teacher, "embedding_size", None) == teacher.hidden_size:
        # ELECTRA puts a projection between embeddings and layers only where the two sizes differ.
        config.embedding_size = shape.width
    setattr(config, keys.layers_key, shape.layers)
    setattr(config, keys.width_key, shape.width)
    setattr(config, keys.heads_key, shape.heads)
    setattr(config, keys.ffn_key, shape.ffn)
    return config


def create_student(
    teacher: PreTrainedModel,
    shape: Shape,
    *,
    initialization: Initialization = "prune",
    source_layers: Sequence[int] | None = None,
    calibration: Iterable[Mapping[str, Tensor]] | None = None,
    seed: int = 0,
) -> PreTrainedModel:
    """A student of the teacher's own class, with its vocabulary and label names.

    Args:
        teacher: an encoder, with or without a head; pooler and head are cut along by ``prune`` and copied
            by ``layers``. A student of a teacher without a pooler has none either.
        shape: of the student.
        initialization: ``random``; ``layers``: embeddings, head and the chosen layers copied, which takes
            equal widths; ``prune``: the same, with the most important channels, head dimensions and neurons.
        source_layers: teacher layers, from 1, that the student's layers start from; default: the lowest.
        calibration: batches (``input_ids``, ``attention_mask``, ...) that importance is measured on.
        seed: of the random weights.

    Raises:
        ModelError: teacher and shape do not fit the initialization; the message says what does.
    """
    sources = check_source(teacher.config, shape, initialization=initialization, source_layers=source_layers)
    config = student_config(teacher.config, shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        student: PreTrainedModel = type(teacher)(config)
    if getattr(teacher, "pooler", student) is None:
        student.register_module("pooler", None)
    student.eval()
    if initialization == "random":
        return student
    importance = None
    if initialization == "prune":
        if calibration is None:
            raise ModelError("initialization 'prune' measures importance on text: give calibration batches")
        importance = measure_importance(teacher, calibration)
    student.load_state_dict(cut(teacher, student, sources=sources, importance=importance))
    return student


def check_source(
    teacher: PretrainedConfig,
    shape: Shape,
    *,
    initialization: Initialization,
    source_layers: Sequence[int] | None,
) -> list[int]:
    """Whether a student of this shape can start from this teacher: from the configuration alone.

    Returns:
        the teacher layer, from 1, that each student layer starts from; empty for ``random``.

    Raises:
        ModelError: it cannot; the message says what can.
    """
    if initialization not in get_args(Initialization):
        raise ModelError(
            f"unknown initialization {initialization!r}; expected {', '.join(get_args(Initialization))}"
        )
    if initialization == "random":
        return []
    full = shape_of(teacher)
    sources = _source_layers(source_layers, shape.layers, full.layers)
    if initialization == "layers" and shape != (expected := replace(full, layers=shape.layers)):
        raise ModelError(
            "initialization 'layers' copies whole layers, so the student must be as wide as the teacher: "
            f"got {shape}, expected {expected}. For a narrower student use 'prune' or 'random'"
        )
    for what, got, most in (
        ("width", shape.width, full.width),
        ("heads", shape.heads, full.heads),
        ("head width (width / heads)", shape.width // shape.heads, full.width // full.heads),
        ("ffn", shape.ffn, full.ffn),
    ):
        if got > most:
            raise ModelError(
                f"the student's {what} is {got}, the teacher's only {most}: nothing to cut it from. "
                "Choose a smaller shape, other heads, or initialization 'random'"
            )
    if getattr(teacher, "embedding_size", full.width) == shape.width != full.width:
        raise ModelError(
            f"the student's width is {shape.width}, that of the teacher's embedding tables: "
            f"{teacher.model_type} then has no projection between them, so the teacher's has no place. "
            "Choose another width, or initialization 'random'"
        )
    return sources


def _source_layers(given: Sequence[int] | None, student_layers: int, teacher_layers: int) -> list[int]:
    if student_layers > teacher_layers:
        raise ModelError(
            f"a student of {student_layers} layers cannot be made from a teacher of {teacher_layers}; "
            "use initialization 'random' or fewer layers"
        )
    sources = list(given) if given is not None else list(range(1, student_layers + 1))
    if len(sources) != student_layers or not all(1 <= layer <= teacher_layers for layer in sources):
        raise ModelError(
            f"source_layers {sources} do not fit: expected {student_layers} layers from 1 to {teacher_layers}"
        )
    return sources
