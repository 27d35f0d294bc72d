"""Where each architecture keeps its parts: the one place that knows parameter names.

Each axis of each parameter carries one of these kinds of unit, which a narrower model may have fewer of:

    width   channels of the hidden states, shared by all layers
    embed   channels of the embedding tables: the width, unless the architecture projects them (ELECTRA)
    qk      query and key dimensions of a layer, head by head
    vo      value dimensions of a layer, head by head
    ffn     neurons of a layer's feed-forward network
    all     kept as they are: vocabulary, positions, classes
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from transformers import PretrainedConfig, PreTrainedModel

from bertling.errors import ModelError

Axis = Literal["width", "embed", "qk", "vo", "ffn", "all"]


@dataclass(frozen=True)
class Anatomy:
    """Parameter names and configuration keys of one architecture.

    Attributes:
        layers_key, width_key, heads_key, ffn_key: names of the shape in the configuration.
        layer_pattern: matches a layer's parameter; group 1 is the layer's index from 0.
        ffn_output: name, inside a layer, of the module that maps neurons back to the width.
        attention_output: name, inside a layer, of the module that maps values back to the width.
        axes: (pattern of a parameter's name, the kind of each of its axes), the first match counts.
    """

    layers_key: str
    width_key: str
    heads_key: str
    ffn_key: str
    layer_pattern: str
    ffn_output: str
    attention_output: str
    axes: tuple[tuple[str, tuple[Axis, ...]], ...]

    def axes_of(self, name: str, dimensions: int) -> tuple[Axis, ...]:
        """Kinds of the axes of parameter ``name``; raises ModelError for one that no pattern knows."""
        for pattern, axes in self.axes:
            if re.search(pattern, name):
                # A bias runs along the first axis of its weight.
                return axes[:dimensions]
        raise ModelError(
            f"cannot cut the parameter {name!r}: its axes are not in the table of this architecture. "
            "Use student.initialization = 'random' for this model"
        )

    def layer_of(self, name: str) -> int | None:
        """Index from 0 of the layer that parameter ``name`` belongs to, or None."""
        match = re.search(self.layer_pattern, name)
        return int(match.group(1)) if match else None

    def in_layer(self, name: str, layer: int) -> str:
        """The same parameter's name in another layer, index from 0."""
        return re.sub(self.layer_pattern, lambda m: m.group(0).replace(m.group(1), str(layer)), name, count=1)


_BERT_AXES: tuple[tuple[str, tuple[Axis, ...]], ...] = (
    (r"embeddings\.\w+_embeddings\.weight$", ("all", "embed")),
    (r"embeddings\.LayerNorm\.", ("embed",)),
    (r"embeddings_project\.", ("width", "embed")),
    (r"attention\.self\.(query|key)\.", ("qk", "width")),
    (r"attention\.self\.value\.", ("vo", "width")),
    (r"attention\.output\.dense\.", ("width", "vo")),
    (r"intermediate\.dense\.", ("ffn", "width")),
    (r"output\.dense\.", ("width", "ffn")),
    (r"LayerNorm\.", ("width",)),
    (r"(pooler|classifier)\.dense\.", ("width", "width")),
    (r"classifier\.(out_proj\.)?(weight|bias)$", ("all", "width")),
)

_BERT = Anatomy(
    layers_key="num_hidden_layers",
    width_key="hidden_size",
    heads_key="num_attention_heads",
    ffn_key="intermediate_size",
    layer_pattern=r"\bencoder\.layer\.(\d+)\.",
    ffn_output="output.dense",
    attention_output="attention.output.dense",
    axes=_BERT_AXES,
)

_DISTILBERT = Anatomy(
    layers_key="n_layers",
    width_key="dim",
    heads_key="n_heads",
    ffn_key="hidden_dim",
    layer_pattern=r"\btransformer\.layer\.(\d+)\.",
    ffn_output="ffn.lin2",
    attention_output="attention.out_lin",
    axes=(
        (r"embeddings\.\w+_embeddings\.weight$", ("all", "embed")),
        (r"embeddings\.LayerNorm\.", ("embed",)),
        (r"attention\.(q_lin|k_lin)\.", ("qk", "width")),
        (r"attention\.v_lin\.", ("vo", "width")),
        (r"attention\.out_lin\.", ("width", "vo")),
        (r"ffn\.lin1\.", ("ffn", "width")),
        (r"ffn\.lin2\.", ("width", "ffn")),
        (r"layer_norm\.", ("width",)),
        (r"pre_classifier\.", ("width", "width")),
        (r"classifier\.(weight|bias)$", ("all", "width")),
    ),
)

ANATOMIES: dict[str, Anatomy] = {"bert": _BERT, "roberta": _BERT, "electra": _BERT, "distilbert": _DISTILBERT}
"""model_type -> its anatomy: the architectures whose attention and parameters bertling knows and tests."""


def anatomy_of(config: PretrainedConfig) -> Anatomy:
    """The anatomy of a model's architecture; raises ModelError for one that is not supported."""
    try:
        return ANATOMIES[config.model_type]
    except KeyError:
        raise ModelError(
            f"the architecture {config.model_type!r} is not supported; expected one of {', '.join(ANATOMIES)}"
        ) from None


def first_position(config: PretrainedConfig) -> int:
    """The position of a text's first token: RoBERTa counts from behind its padding token's id."""
    return int(config.pad_token_id or 0) + 1 if config.model_type == "roberta" else 0


def layers_of(model: PreTrainedModel) -> list[str]:
    """Module names of the encoder's layers, first layer first."""
    anatomy = anatomy_of(model.config)
    return [
        name.rstrip(".")
        for name, _ in model.named_modules()
        if re.search(anatomy.layer_pattern + "$", name + ".")
    ]
