"""A folder that nobody vouches for, looked at before transformers reads it: what it names, how large it is.

transformers runs no code of a folder unless it is told to. But a few bytes of ``config.json`` may ask for a
model larger than the memory, for weights in another file than the folder's, or for kernels, which are code.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import PretrainedConfig

from bertling.errors import ModelError
from bertling.models.untrusted import read_json

_WEIGHTS = "transformers_weights"
_INDEX = "model.safetensors.index.json"
_MOST = {
    "num_labels": 100_000,
    "num_hidden_layers": 1000,
    "n_layers": 1000,
    "num_hidden_groups": 1000,
    "inner_group_num": 1000,
    "num_feedforward_networks": 1000,
}
_IMPLEMENTATIONS = ("attn_implementation", "_attn_implementation", "experts_implementation")
# A checkpoint may lack a pooler and a head, and have a head of another task.
_TIMES, _MORE = 2, 10_000_000


def check_folder(folder: Path) -> None:
    """Look at a folder's ``config.json``, and at the list of its files of weights where there are several.

    Raises:
        ModelError: a file that is no JSON object, more layers or labels than a model has, kernels of the hub,
            adapters, or weights that are not in the folder or not safetensors.
    """
    file = folder / "config.json"
    content = read_json(file, dict)
    for key, most in _MOST.items():
        value = content.get(key)
        if isinstance(value, int) and value > most:
            raise ModelError(f"{file}: {key} is above {most:,}, which no encoder has: get the file anew")
    for key in _IMPLEMENTATIONS:
        if any("/" in text for text in _strings(content.get(key))):
            raise ModelError(
                f"{file}: {key} names code of the hub, which bertling does not run: remove the key"
            )
    if (folder / "adapter_config.json").exists():
        raise ModelError(
            f"{folder} holds an adapter (adapter_config.json), and bertling reads whole models: merge it "
            "into its model, and save that"
        )
    _check_weights(file, [content.get(_WEIGHTS, "model.safetensors")])
    if (folder / _INDEX).is_file():
        listed = read_json(folder / _INDEX, dict).get("weight_map")
        _check_weights(folder / _INDEX, listed.values() if isinstance(listed, dict) else [None])


def _check_weights(file: Path, names: Iterable[object]) -> None:
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
            raise ModelError(
                f"{file} names weights that are no safetensors of this folder: save the model again, with "
                "transformers"
            )


def check_size(folder: Path, kind: Any, config: PretrainedConfig) -> None:
    """Refuse a configuration that claims far more numbers than the folder has, before they are made.

    Args:
        folder: with its weights in safetensors.
        kind: one of transformers' AutoModel classes.
        config: what the model is made of.

    Raises:
        ModelError: it claims more than twice as many.
    """
    held = 0
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="np") as tensors:
            held += sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    with torch.device("meta"):  # no memory, no random numbers
        claimed = sum(tensor.numel() for tensor in kind.from_config(config).state_dict().values())
    if claimed > _TIMES * held + _MORE:
        raise ModelError(
            f"the weights in {folder} hold {held:,} numbers, and its config.json is of a model of "
            f"{claimed:,}: they are not of the same model"
        )


def _strings(value: object) -> Iterator[str]:
    """The string, or the strings in a table of the model's parts."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for text in value.values() if isinstance(text, str))
