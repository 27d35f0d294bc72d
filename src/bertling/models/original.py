"""Bring in a General TinyBERT as the original code saved it: its tensors alone, and none made up."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from transformers import BertConfig, BertModel, BertTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.activations import ACT2FN

from bertling.errors import ModelError
from bertling.models.reading import quiet_transformers
from bertling.models.student import Shape
from bertling.models.untrusted import read_json, read_tensors

_WEIGHTS_FILES = ("model.safetensors", "pytorch_model.bin")
_MOST_LAYERS = 1000
_SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# Foreign keys (cell, emb_size, structure, ...) say nothing about the encoder, and are left behind.
_COUNTS = ("num_hidden_layers", "num_attention_heads")
# What config.json declares, and the tensor and axis that must agree.
_SIZES = {
    "vocab_size": ("embeddings.word_embeddings.weight", 0),
    "hidden_size": ("embeddings.word_embeddings.weight", 1),
    "max_position_embeddings": ("embeddings.position_embeddings.weight", 0),
    "type_vocab_size": ("embeddings.token_type_embeddings.weight", 0),
    "intermediate_size": ("encoder.layer.0.intermediate.dense.weight", 0),
}
_FRACTIONS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range", "layer_norm_eps")

_PROJECTION = re.compile(r"fit_dense(s\.\d+)?\.(weight|bias)")
_HEADS = ("cls.", "classifier.")
_LAYER = re.compile(r"encoder\.layer\.(\d+)\.")
_OLD_NAMES = (
    (re.compile(r"LayerNorm\.gamma$"), "LayerNorm.weight"),
    (re.compile(r"LayerNorm\.beta$"), "LayerNorm.bias"),
)


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What was brought in, and what was not. Names are those of the source, without ``bert.``.

    Attributes:
        shape: of the encoder.
        vocabulary: entries of the vocabulary.
        lower_case: whether the tokenizer lower-cases.
        parameters: numbers in the tensors that were taken.
        taken: tensors that make the model.
        projections: those to the teacher's width, dropped; name -> shape.
        heads: dropped.
        unused: other tensors that the model has no place for.
        missing: tensors that the source lacks, and that the model is saved without.
    """

    shape: Shape
    vocabulary: int
    lower_case: bool
    parameters: int
    taken: tuple[str, ...]
    projections: Mapping[str, tuple[int, ...]]
    heads: tuple[str, ...]
    unused: tuple[str, ...]
    missing: tuple[str, ...]


def import_original(source: Path, target: Path, *, lower_case: bool = True) -> ImportReport:
    """Save the encoder and the tokenizer of a downloaded General TinyBERT as transformers reads them.

    The projections (``fit_dense``, ``fit_denses.N``) and heads (``cls``) are dropped, LayerNorm's old names
    (``gamma``, ``beta``) renamed. Where there is no pooler, none is saved.

    Args:
        source: folder with ``config.json``, ``vocab.txt`` and ``pytorch_model.bin`` or
            ``model.safetensors``. No code of a pickle is run.
        target: folder to write, new or empty; it appears whole or not at all.
        lower_case: whether the vocabulary is of lower-cased text, where no ``tokenizer_config.json`` says.

    Raises:
        ModelError: a file is missing, damaged or asks to run code; files that do not fit one another; a
            weight other than the pooler's that is missing, not finite or of another shape; a target that
            holds something.
        ShapeError: a width that is not a multiple of the heads.
    """
    target = target.resolve()
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise ModelError(f"{target} exists already; name a folder that is new or empty")
    settings = _read_settings(_file(source, "config.json"))
    shape = Shape(
        layers=settings["num_hidden_layers"],
        width=settings["hidden_size"],
        heads=settings["num_attention_heads"],
        ffn=settings["intermediate_size"],
    )
    vocabulary = _read_vocabulary(_file(source, "vocab.txt"), settings["vocab_size"])
    lower_case = _lower_cases(source / "tokenizer_config.json", lower_case)
    path = _file(source, *_WEIGHTS_FILES)
    tensors = _plain_names(read_tensors(path), path)
    projections = {name: tensor for name, tensor in tensors.items() if _PROJECTION.fullmatch(name)}
    heads = tuple(sorted(name for name in tensors if name.startswith(_HEADS)))
    others = {name: t for name, t in tensors.items() if name not in projections and name not in heads}
    _check_sizes(settings, others, path)

    config = BertConfig(**settings, pad_token_id=vocabulary["[PAD]"])
    has_pooler = any(name.startswith("pooler.") for name in others)
    model = _assemble(config, others, path, has_pooler=has_pooler)
    tokenizer = BertTokenizer(
        vocab=vocabulary, do_lower_case=lower_case, model_max_length=config.max_position_embeddings
    )
    _write(model, tokenizer, target)
    taken = model.state_dict()
    return ImportReport(
        shape=shape,
        vocabulary=len(vocabulary),
        lower_case=lower_case,
        parameters=sum(tensor.numel() for tensor in taken.values()),
        taken=tuple(taken),
        projections={name: tuple(tensor.shape) for name, tensor in sorted(projections.items())},
        heads=heads,
        unused=tuple(sorted(others.keys() - taken.keys())),
        missing=() if has_pooler else ("pooler.dense.bias", "pooler.dense.weight"),
    )


def _file(source: Path, *names: str) -> Path:
    for name in names:
        if (source / name).is_file():
            return source / name
    raise ModelError(
        f"there is no file {' or '.join(names)} in {source}; expected the folder of a downloaded General "
        f"TinyBERT: config.json, vocab.txt and {' or '.join(_WEIGHTS_FILES)}"
    )


def _read_settings(path: Path) -> dict[str, Any]:
    """What of config.json makes a `BertConfig`, each value checked by itself."""
    content = read_json(path, dict)
    if content.get("model_type", "bert") != "bert":
        raise ModelError(
            f"{path}: model_type is {_shown(content['model_type'])}; a TinyBERT is a bert. Models that "
            "transformers saved need no import"
        )
    defaults = BertConfig()
    settings: dict[str, Any] = {}
    for key in (*_COUNTS, *_SIZES):
        optional = key in ("max_position_embeddings", "type_vocab_size")
        value = content.get(key, getattr(defaults, key) if optional else None)
        if type(value) is not int or value < 1:
            raise ModelError(f"{path}: {key} is {_shown(value)}, expected a whole number of at least 1")
        settings[key] = value
    for key in _FRACTIONS:
        value = content.get(key, getattr(defaults, key))
        if type(value) not in (int, float) or not 0 <= value <= 1:
            raise ModelError(f"{path}: {key} is {_shown(value)}, expected a number from 0 to 1")
        settings[key] = value
    settings["hidden_act"] = content.get("hidden_act", defaults.hidden_act)
    if not isinstance(settings["hidden_act"], str) or settings["hidden_act"] not in ACT2FN:
        raise ModelError(
            f"{path}: hidden_act is {_shown(settings['hidden_act'])}, which is no activation function"
        )
    return settings


def _shown(value: object) -> str:
    return repr(value)[:60]


def _read_vocabulary(path: Path, expected: int) -> dict[str, int]:
    try:
        # Only a line feed ends an entry: a vocabulary may hold other separators as entries.
        entries = path.read_bytes().decode("utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} cannot be read ({error}); expected one entry a line, in UTF-8") from error
    vocabulary = {entry.removesuffix("\r"): index for index, entry in enumerate(entries)}
    if len(vocabulary) != len(entries):
        raise ModelError(f"{path}: {len(entries) - len(vocabulary)} entries come twice; expected each once")
    if len(vocabulary) != expected:
        raise ModelError(
            f"{path} has {len(vocabulary)} entries, config.json says vocab_size {expected}: they are not of "
            "the same model"
        )
    if lacking := [token for token in _SPECIAL_TOKENS if token not in vocabulary]:
        raise ModelError(f"{path} lacks {', '.join(lacking)}; expected BERT's special tokens")
    return vocabulary


def _lower_cases(path: Path, otherwise: bool) -> bool:
    said = read_json(path, dict).get("do_lower_case", otherwise) if path.is_file() else otherwise
    if not isinstance(said, bool):
        raise ModelError(f"{path}: do_lower_case is {_shown(said)}, expected true or false")
    return said


def _plain_names(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Names without ``bert.``, and LayerNorm's as transformers has them."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        plain = name.removeprefix("bert.")
        for old, new in _OLD_NAMES:
            plain = old.sub(new, plain)
        if plain in renamed:
            raise ModelError(f"{path} holds {plain} twice, under two names; expected one tensor of each")
        renamed[plain] = tensor
    return renamed


def _check_sizes(settings: dict[str, Any], tensors: dict[str, Tensor], path: Path) -> None:
    """Compare config.json with the tensors, before anything is as large as either of them claims."""
    # A tensor can be a view that repeats a few bytes, and many can share the same ones.
    claimed_bytes = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if claimed_bytes > path.stat().st_size:
        raise ModelError(f"the weights in {path} claim {claimed_bytes} bytes, more than the file has")
    layers = {match.group(1) for name in tensors if (match := _LAYER.match(name))}
    found: dict[str, int] = {"num_hidden_layers": len(layers)}
    for key, (name, axis) in _SIZES.items():
        if name not in tensors:
            raise ModelError(f"{path} lacks {name}; expected the weights of a BERT")
        shape = tensors[name].shape
        # An empty tensor may claim any size along its other axis.
        found[key] = shape[axis] if len(shape) == 2 and tensors[name].numel() else 0
    if different := [
        f"{key} is {settings[key]}, the weights have {size}"
        for key, size in found.items()
        if size != settings[key]
    ]:
        raise ModelError(f"{path} does not fit its config.json: {'; '.join(different)}")
    if len(layers) > _MOST_LAYERS:
        raise ModelError(
            f"{path} has {len(layers)} layers, expected at most {_MOST_LAYERS}: get the file anew"
        )


def _assemble(
    config: BertConfig, tensors: dict[str, Tensor], path: Path, *, has_pooler: bool
) -> PreTrainedModel:
    """The model of these tensors, float32."""
    with torch.device("meta"):  # no memory, no random numbers
        model = BertModel(config, add_pooling_layer=has_pooler)
    problems: list[str] = []
    needed = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    for name, shape in needed.items():
        if name not in tensors:
            problems.append(f"missing: {name}")
        elif tuple(tensors[name].shape) != shape:
            problems.append(f"{name} is {tuple(tensors[name].shape)}, expected {shape}")
        elif not tensors[name].is_floating_point():
            problems.append(f"{name} is {tensors[name].dtype}, expected numbers with a fraction")
    if problems:
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ModelError(f"the weights in {path} do not fit: {'; '.join(problems[:5])}{more}")
    widened = {
        name: tensors[name].to(torch.float32, copy=True, memory_format=torch.contiguous_format)
        for name in needed
    }
    if broken := [name for name, tensor in widened.items() if not bool(tensor.isfinite().all())]:
        raise ModelError(f"{path}: {', '.join(broken[:5])} holds NaN or infinity; get the file anew")
    model.load_state_dict(widened, assign=True)
    loaded: PreTrainedModel = model
    return loaded


def _write(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
            made = Path(scratch) / "model"
            with quiet_transformers():
                model.save_pretrained(made)
                tokenizer.save_pretrained(made)
            if target.exists():  # and is empty: not every system replaces a folder
                target.rmdir()
            made.replace(target)
    except OSError as error:
        raise ModelError(f"cannot write {target} ({error}); choose another folder") from error
