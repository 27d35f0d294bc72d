"""A classifier's outputs and a task's classes, matched by name: no order is ever taken for granted.

C classes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from bertling.errors import ModelError

# What transformers calls outputs that nobody named, and what training on class ids leaves.
_UNNAMED = re.compile(r"(label[ _-]?)?\d+", re.IGNORECASE)
_SPELLINGS = {
    "neg": "negative",
    "neu": "neutral",
    "pos": "positive",
    "contradict": "contradiction",
    "contradictory": "contradiction",
    "entail": "entailment",
    "entailed": "entailment",
    "nonentailment": "notentailment",
}


def output_names(config: PretrainedConfig) -> list[str]:
    """What a model's configuration calls its outputs, in their order.

    Raises:
        ModelError: ``id2label`` and ``label2id`` contradict each other.
    """
    by_index = cast("dict[int, str]", config.id2label)
    label2id = config.label2id or {}
    if not all(isinstance(name, str) for name in by_index.values()) or not all(
        isinstance(index, int) for index in label2id.values()
    ):
        raise ModelError(
            "the model's config.json has labels that are no strings in id2label, or indices that are no "
            "whole numbers in label2id: correct the file"
        )
    names = [by_index[index] for index in sorted(by_index)]
    indices = cast("dict[str, int]", label2id)
    if set(indices) == set(names) and any(names[index] != name for name, index in indices.items()):
        raise ModelError(
            f"the model's config.json contradicts itself: by id2label its outputs are {names}, by label2id "
            f"{sorted(indices, key=lambda name: indices[name])}. Correct the file, or name the outputs with "
            "[teacher] labels"
        )
    return names


def output_order(outputs: Sequence[str], classes: Sequence[str]) -> list[int]:
    """For each of a task's classes, (C,), the model's output of that name.

    Names are compared as they are; if that does not do, without case, spaces, hyphens and underscores, in
    their full spelling (``neg`` for ``negative``), ``LABEL_1`` as ``1``.

    Args:
        outputs: names of the model's outputs, in their order.
        classes: names of the task's classes, in the order of the class ids.

    Raises:
        ModelError: another number of outputs, other names, names that stand for two classes, or none at all.
    """
    for fold in (str, _folded):
        theirs, ours = [fold(name) for name in outputs], [fold(name) for name in classes]
        if sorted(theirs) == sorted(ours) and len(set(ours)) == len(ours):
            return [theirs.index(name) for name in ours]
    both = f"the model's labels {list(outputs)} are not the task's {list(classes)}"
    if len(outputs) != len(classes):
        raise ModelError(
            f"{both}: {len(outputs)} outputs for {len(classes)} classes. Choose a model of this task, or "
            "data with the model's labels"
        )
    if all(_UNNAMED.fullmatch(name) for name in outputs):
        listed = ", ".join(f'"{name}"' for name in classes)
        raise ModelError(
            f"{both}: its outputs have no names, so nothing says which of them is which class. Name them in "
            f"the model's order: [teacher] labels = [{listed}], if that is the order that it was trained "
            "with, or id2label and label2id in its config.json"
        )
    raise ModelError(
        f"{both}. Where they mean the same, give the task's names in the model's order as [teacher] labels, "
        "or as id2label and label2id in the model's config.json"
    )


def match_label_names(
    model: PreTrainedModel, classes: Sequence[str] | None, outputs: Sequence[str] | None = None
) -> None:
    """Put a classifier's outputs into the order of a task's classes, and name them so.

    The rows of the head's last layer change places, so the model computes what it did before, and whatever
    is made of it has the task's order too.

    Args:
        model: a classifier, of texts or words, or a regressor.
        classes: names of the task's classes, in the order of the class ids; None for a regression.
        outputs: names of the model's outputs, in their order; default: as its configuration says.

    Raises:
        ModelError: another number of outputs, names that do not match (see `output_order`), or a head that
            ends in no linear layer of so many outputs.
    """
    count = int(model.config.num_labels or 0)
    if classes is None:
        if count != 1:
            raise ModelError(f"the task is a regression, which takes 1 output; the model has {count}")
        return
    if outputs is not None and len(outputs) != count:
        raise ModelError(
            f"[teacher] labels names {len(outputs)} outputs, {list(outputs)}; the model has {count}"
        )
    order = output_order(outputs or output_names(model.config), classes)
    if order != list(range(count)):
        last = _last_layer(model, count)
        with torch.no_grad():
            last.weight.copy_(last.weight[order])
            if last.bias is not None:
                last.bias.copy_(last.bias[order])
    model.config.id2label = dict(enumerate(classes))
    model.config.label2id = {name: index for index, name in enumerate(classes)}


def _folded(name: str) -> str:
    bare = re.sub(r"[\s_-]+", "", name.casefold())
    if _UNNAMED.fullmatch(name):
        return bare.removeprefix("label")
    return _SPELLINGS.get(bare, bare)


def _last_layer(model: PreTrainedModel, outputs: int) -> nn.Linear:
    """The linear layer that a head ends in."""
    encoder = set(model.base_model.modules())
    layers = [
        module
        for module in model.modules()
        if isinstance(module, nn.Linear) and module not in encoder and module.out_features == outputs
    ]
    if not layers:
        raise ModelError(
            f"{type(model).__name__} ends in no linear layer of {outputs} outputs, so they cannot be put "
            "into the task's order. Set [task] labels to the model's order"
        )
    return layers[-1]
