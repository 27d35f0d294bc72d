"""Sentence encoders: encoders whose states of a text's tokens are averaged.

sentence-transformers keeps what stands behind the encoder in ``modules.json`` and a folder for each module.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel
from transformers.utils.hub import cached_file

from bertling.errors import ModelError
from bertling.models.reading import find_model
from bertling.models.teacher import load_encoder
from bertling.models.untrusted import read_json

_MODULES = "modules.json"
_POOLING = "1_Pooling"
_OF_SENTENCE_TRANSFORMERS = "sentence_transformers.models"
_KNOWN = ("Transformer", "Pooling", "Normalize")
_MODE = "pooling_mode_"


def load_sentence_encoder(name: str) -> PreTrainedModel:
    """An encoder whose mean over a text's tokens is its embedding, in eval mode, float32, without a pooler.

    Any encoder is one. Of a model that sentence-transformers saved, its files are looked at as well: a length
    of 1 is nothing to a cosine, but other ways to an embedding are refused.

    Args:
        name: folder, hub name or ``package:NAME``.

    Raises:
        ModelError: as `load_encoder` does; or the model makes embeddings in another way than by the mean over
            tokens.
    """
    _check_modules(name)
    model = load_encoder(name)
    if getattr(model, "pooler", None) is not None:
        # What reads the [CLS] state, which an embedding does not.
        model.register_module("pooler", None)
    return model


def _check_modules(name: str) -> None:
    modules = _read(name, _MODULES, list) or []
    if not all(isinstance(module, dict) for module in modules):
        raise ModelError(f"{name}: {_MODULES} lists something else than modules: get the file anew")
    kinds = {str(module.get("type", "")).rpartition(".")[2]: module for module in modules}
    if unknown := [kind for kind in kinds if kind not in _KNOWN]:
        raise ModelError(
            f"{name} has the modules {', '.join(unknown)} behind its encoder ({_MODULES}); supported are "
            f"{', '.join(_KNOWN)}. Choose a sentence encoder whose embedding is the mean over its tokens"
        )
    place = kinds["Pooling"].get("path", _POOLING) if "Pooling" in kinds else _POOLING
    pooling = _read(name, f"{place}/config.json", dict)
    if pooling is None:
        return
    modes = [key.removeprefix(_MODE) for key, value in pooling.items() if key.startswith(_MODE) and value]
    if "pooling_mode" in pooling:
        modes = [str(pooling["pooling_mode"])]
    if modes not in (["mean_tokens"], ["mean"]):
        raise ModelError(
            f"{name} makes embeddings by {' and '.join(modes) or 'no pooling'} ({place}/config.json); "
            "supported is the mean over tokens (pooling_mode_mean_tokens). Choose a sentence encoder with it"
        )


def _read(name: str, file: str, kind: type[Any]) -> Any:
    """What a model's json file holds; None where it has no such file."""
    found = cached_file(find_model(name), file, _raise_exceptions_for_missing_entries=False)
    return None if found is None else read_json(Path(found), kind)


def write_sentence_files(folder: Path, *, width: int, max_length_tokens: int) -> None:
    """Write the small files with which sentence-transformers loads a saved encoder, as it writes them itself.

    Args:
        folder: of the encoder.
        width: of an embedding.
        max_length_tokens: longer texts are cut.
    """
    modes = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")
    places = {"Transformer": "", "Pooling": _POOLING, "Normalize": "2_Normalize"}
    files = {
        _MODULES: [
            {"idx": index, "name": str(index), "path": path, "type": f"{_OF_SENTENCE_TRANSFORMERS}.{kind}"}
            for index, (kind, path) in enumerate(places.items())
        ],
        f"{_POOLING}/config.json": {
            "word_embedding_dimension": width,
            **{f"{_MODE}{mode}": mode == "mean_tokens" for mode in modes},
        },
        "sentence_bert_config.json": {"max_seq_length": max_length_tokens, "do_lower_case": False},
    }
    (folder / _POOLING).mkdir(exist_ok=True)
    for file, values in files.items():
        (folder / file).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
