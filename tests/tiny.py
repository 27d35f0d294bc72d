"""Tiny real models, batches and a tokenizer for the tests that need them: made in code, from seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.configuration_auto import AutoConfig

VOCABULARY = 200
ARCHITECTURES = (
    *("bert", "roberta", "electra", "electra-projected", "distilbert", "albert", "camembert", "deberta-v2"),
    *("mobilebert", "modernbert", "xlm-roberta"),
)
_OWN: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 24},
    "deberta-v2": {
        "relative_attention": True,
        "position_buckets": 8,
        "pos_att_type": ["c2p", "p2c"],
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "position_biased_input": False,
    },
    "mobilebert": {"embedding_size": 24, "intra_bottleneck_size": 16, "num_feedforward_networks": 2},
    # A token sees three on either side of it in every second and third layer.
    "modernbert": {"local_attention": 6, "bos_token_id": 2, "cls_token_id": 2},
}
"""What an architecture has of its own: the shape of the DeBERTa is that of version 3."""


def one_thread() -> Iterator[None]:
    """The body of a fixture: tiny tensors gain nothing from threads, and a busy machine suffers from them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def config(
    architecture: str = "bert",
    *,
    layers: int = 2,
    width: int = 32,
    heads: int = 4,
    ffn: int = 48,
    dropout: float = 0.0,
    **more: Any,
) -> PretrainedConfig:
    """``electra`` has embeddings as wide as its layers; ``electra-projected`` projects from 24 channels."""
    model_type = architecture.removesuffix("-projected")
    shared = {"vocab_size": VOCABULARY, "max_position_embeddings": 48, "pad_token_id": 0}
    shared |= _OWN.get(model_type, {}) | more
    if model_type == "distilbert":
        return AutoConfig.for_model(
            model_type,
            n_layers=layers,
            dim=width,
            n_heads=heads,
            hidden_dim=ffn,
            dropout=dropout,
            attention_dropout=dropout,
            seq_classif_dropout=dropout,
            **shared,
        )
    if model_type == "modernbert":
        return AutoConfig.for_model(
            model_type,
            num_hidden_layers=layers,
            hidden_size=width,
            num_attention_heads=heads,
            intermediate_size=ffn,
            embedding_dropout=dropout,
            attention_dropout=dropout,
            mlp_dropout=dropout,
            eos_token_id=3,
            sep_token_id=3,
            **shared,
        )
    if model_type == "electra":
        shared["embedding_size"] = 24 if architecture.endswith("-projected") else width
    return AutoConfig.for_model(
        model_type,
        num_hidden_layers=layers,
        hidden_size=width,
        num_attention_heads=heads,
        intermediate_size=ffn,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        **shared,
    )


def classifier(architecture: str = "bert", *, seed: int = 0, **settings: Any) -> PreTrainedModel:
    """In eval mode, with weights large enough that every parameter shows in the output."""
    return _randomised(AutoModelForSequenceClassification.from_config(config(architecture, **settings)), seed)


def word_classifier(architecture: str = "bert", *, seed: int = 0, **settings: Any) -> PreTrainedModel:
    """The same for labels of words."""
    return _randomised(AutoModelForTokenClassification.from_config(config(architecture, **settings)), seed)


def answerer(architecture: str = "bert", *, seed: int = 0, **settings: Any) -> PreTrainedModel:
    """The same for answers to questions."""
    return _randomised(AutoModelForQuestionAnswering.from_config(config(architecture, **settings)), seed)


def encoder(architecture: str = "bert", *, seed: int = 0, **settings: Any) -> PreTrainedModel:
    """The same without a head."""
    return _randomised(AutoModel.from_config(config(architecture, **settings)), seed)


def masked_lm(architecture: str = "bert", *, seed: int = 0, **settings: Any) -> PreTrainedModel:
    """The same with a masked-LM head."""
    return _randomised(AutoModelForMaskedLM.from_config(config(architecture, **settings)), seed)


def _randomised(model: PreTrainedModel, seed: int) -> PreTrainedModel:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            # Biases and LayerNorms come as constants, which would hide that they are mixed up.
            parameter.copy_(noise * 0.2 if parameter.dim() > 1 else parameter + noise * 0.1)
        if model.config.model_type == "mobilebert":
            # Each token's embedding is made of its neighbours', and that of padding would be one of them.
            model.base_model.get_parameter("embeddings.word_embeddings.weight")[0] = 0
    model.eval()
    return model


def batch(lengths: Sequence[int], *, seed: int = 0, total: int | None = None) -> dict[str, Tensor]:
    """``input_ids`` and ``attention_mask``, padded to ``total`` or to the longest."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(total or max(lengths)) < torch.tensor(lengths)[:, None]
    ids = torch.zeros(mask.shape, dtype=torch.int64)
    for row, length in zip(ids, lengths, strict=True):
        row[:length] = torch.randint(5, VOCABULARY, (length,), generator=generator)
    return {"input_ids": ids, "attention_mask": mask.long()}


def tokenizer() -> PreTrainedTokenizerBase:
    """WordPiece of ``VOCABULARY`` entries: five special tokens, ``w0`` to ``w97``, ``##x0`` to ``##x96``."""
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    entries += [f"w{number}" for number in range(98)] + [f"##x{number}" for number in range(97)]
    made: PreTrainedTokenizerBase = BertTokenizer(vocab={entry: index for index, entry in enumerate(entries)})
    return made
