"""A model whose vocabulary has lost entries: rows of its embedding, and of what guesses tokens.

V entries before, K after.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
import transformers
from transformers import PretrainedConfig, PreTrainedModel

from bertling.errors import ModelError
from bertling.models.anatomy import first_position
from bertling.models.reading import read_model, refuse_misfits
from bertling.models.teacher import load_encoder


def load_as_saved(name: str) -> PreTrainedModel:
    """A model of the class that it was saved as, head included, in eval mode, float32.

    Raises:
        ModelError: not found, weights that do not fit, or of a class that transformers does not have.
    """
    model, misfits = read_model(_AsSaved, name)
    if model.base_model is model:
        return load_encoder(name)  # which knows what to do where a pooler is missing
    refuse_misfits(name, model, misfits)
    return model


class _AsSaved:
    """Stands for one of transformers' AutoModel classes: the one that the configuration names."""

    @staticmethod
    def from_pretrained(found: str, *, config: PretrainedConfig, **settings: Any) -> Any:
        return _class_of(config).from_pretrained(found, config=config, **settings)

    @staticmethod
    def from_config(config: PretrainedConfig) -> Any:
        return _class_of(config)(config)


def _class_of(config: PretrainedConfig) -> Any:
    name = next(iter(config.architectures or ()), "")
    if not hasattr(transformers, name):
        raise ModelError(
            f"{config.name_or_path} does not say which of transformers' classes it is (architectures in its "
            f"config.json: {config.architectures}): load it, and save it with save_pretrained"
        )
    return getattr(transformers, name)


def needed_ids(config: PretrainedConfig) -> set[int]:
    """Ids that a model needs whatever its texts: its special tokens, and those that positions count from."""
    specials = {index for index in _special_ids(config).values() if index < config.vocab_size}
    # Where positions count from behind the padding token's id, that has to stay what it is.
    return specials | set(range(first_position(config)))


def trim_model(model: PreTrainedModel, kept: Sequence[int]) -> PreTrainedModel:
    """The same model for a smaller vocabulary, in eval mode: its outputs for what is kept are the same.

    Args:
        model: an encoder, with or without a head; it stays as it is.
        kept: the K ids of V that stay, each once, in the order of their new ids; with `needed_ids`.

    Raises:
        ModelError: an id that the model has no embedding for, or positions that would be other ones.
    """
    before: int = model.config.vocab_size
    if not kept or min(kept) < 0 or max(kept) >= before:
        raise ModelError(
            f"ids from {min(kept, default=0)} to {max(kept, default=0)} are to be kept, and the model has "
            f"embeddings for 0 to {before - 1}: use the model's own tokenizer"
        )
    config = copy.deepcopy(model.config)
    new_ids = {index: place for place, index in enumerate(kept)}
    config.vocab_size = len(kept)
    for name, index in _special_ids(config).items():
        setattr(config, name, new_ids.get(index))
    if first_position(config) != first_position(model.config):
        raise ModelError(
            f"{config.model_type} counts positions from behind its padding token, so that has to keep its id "
            f"({model.config.pad_token_id}): keep all ids below it, as needed_ids says"
        )
    with torch.random.fork_rng(devices=[]):
        small: PreTrainedModel = type(model)(config)
    if getattr(model, "pooler", small) is None:
        small.register_module("pooler", None)
    rows = torch.as_tensor(kept)
    state = {name: values.detach().cpu() for name, values in model.state_dict().items()}
    for name, target in small.state_dict().items():
        # What differs in size has an axis of the vocabulary: the first, or the second in MobileBERT's head.
        for axis, (now, then) in enumerate(zip(target.shape, state[name].shape, strict=True)):
            if now != then:
                state[name] = state[name].index_select(axis, rows)
    small.load_state_dict(state)
    small.eval()
    return small


def _special_ids(config: PretrainedConfig) -> dict[str, int]:
    """Keys of a configuration that name an id, such as ``pad_token_id``."""
    named = {name: value for name, value in vars(config).items() if name.endswith("_token_id")}
    return {name: value for name, value in named.items() if isinstance(value, int) and value >= 0}
