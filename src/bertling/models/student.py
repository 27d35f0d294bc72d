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


def student_config(
    teacher: PretrainedConfig, shape: Shape, *, source_layers: Sequence[int] | None = None
) -> PretrainedConfig:
    """The teacher's configuration (vocabulary, positions, label names, dropout) with another shape.

    Args:
        teacher: its configuration.
        shape: of the student.
        source_layers: the teacher layer, from 1, that each student layer attends like, all tokens or a
            window of them; default: the lowest.
    """
    keys = anatomy_of(teacher)
    config = copy.deepcopy(teacher)
    if getattr(teacher, "embedding_size", None) == teacher.hidden_size and not keys.projects_embedding:
        # ELECTRA puts a projection between embeddings and layers only where the two sizes differ.
        config.embedding_size = shape.width
    if getattr(teacher, "pooler_hidden_size", None) == teacher.hidden_size:
        config.pooler_hidden_size = shape.width
    if hasattr(teacher, "attention_head_size"):
        config.attention_head_size = shape.width // shape.heads
    if types := getattr(teacher, "layer_types", None):
        likes = source_layers or range(1, shape.layers + 1)
        config.layer_types = [types[(layer - 1) % len(types)] for layer in likes]
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
    config = student_config(teacher.config, shape, source_layers=sources)
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
    full, anatomy = shape_of(teacher), anatomy_of(teacher)
    if anatomy.one_width and (initialization == "prune" or replace(full, layers=shape.layers) != shape):
        raise ModelError(
            f"students of {teacher.model_type} have its width, heads and ffn: {anatomy.one_width}. Got "
            f"{shape} by {initialization!r}; expected {replace(full, layers=shape.layers)} by 'layers' or "
            "'random', or set [student] model to a smaller model with the same vocabulary"
        )
    if anatomy.rotates and shape.width // shape.heads % 2:
        raise ModelError(
            f"the head width (width / heads) is {shape.width // shape.heads}: {teacher.model_type} rotates "
            "pairs of its dimensions, so it must be even. Choose another width or other heads"
        )
    if initialization == "random":
        return []
    sources = _source_layers(source_layers, shape.layers, full.layers)
    _check_order(teacher, sources, given=source_layers is not None)
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
    if anatomy.rotates and shape.width // shape.heads != full.width // full.heads:
        raise ModelError(
            f"the student's head width (width / heads) is {shape.width // shape.heads}, the teacher's "
            f"{full.width // full.heads}: {teacher.model_type} rotates its dimensions by position, each at a "
            "speed of its own, so none can be cut. Choose heads for the same head width, or initialization "
            "'random'"
        )
    table_width = full.width if anatomy.projects_embedding else getattr(teacher, "embedding_size", full.width)
    if table_width == shape.width != full.width:
        raise ModelError(
            f"the student's width is {shape.width}, that of the teacher's embedding tables: "
            f"{teacher.model_type} then has no projection between them, so the teacher's has no place. "
            "Choose another width, or initialization 'random'"
        )
    return sources


def _check_order(teacher: PretrainedConfig, sources: list[int], *, given: bool) -> None:
    anatomy = anatomy_of(teacher)
    if anatomy.shares_layers and given:
        raise ModelError(
            f"source_layers {sources}: all layers of {teacher.model_type} are the same one, so there are "
            "none to choose from. Leave source_layers out"
        )
    if anatomy.bare_first_layer and (sources[0] != 1 or 1 in sources[1:]):
        raise ModelError(
            f"source_layers {sources}: the first layer of {teacher.model_type} has no norm before its "
            "attention, and the others have one. Begin with layer 1, and use it once"
        )


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
