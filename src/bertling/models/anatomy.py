"""Where each architecture keeps its parts: the one place that knows parameter names.

Each axis of each parameter carries one of these kinds of unit, which a narrower model may have fewer of:

    width   channels of the hidden states, shared by all layers
    embed   channels of the embedding tables: the width, unless the architecture projects them (ELECTRA)
    qk      query and key dimensions of a layer, head by head
    vo      value dimensions of a layer, head by head
    qkv     qk, qk and vo in one: queries, keys and values of a fused map
    ffn     neurons of a layer's feed-forward network
    gated   ffn twice in one: the neurons' inputs, and the gates on them
    all     kept as they are: vocabulary, positions, classes
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from transformers import PretrainedConfig, PreTrainedModel

from bertling.errors import ModelError

Axis = Literal["width", "embed", "qk", "vo", "qkv", "ffn", "gated", "all"]


@dataclass(frozen=True)
class Anatomy:
    """Parameter names and configuration keys of one architecture.

    Attributes:
        layers_key, width_key, heads_key, ffn_key: names of the shape in the configuration.
        layer_pattern: matches a layer's parameter; group 1 is the layer's index from 0.
        ffn_output: name, inside a layer, of the module that maps neurons back to the width.
        attention_output: name, inside a layer, of the module that maps values back to the width.
        axes: (pattern of a parameter's name, the kind of each of its axes), the first match counts.
        taps_softmax: its attention is no function of transformers' interface, so its scores are seen where
            they go into the softmax.
        projects_embedding: embedding tables have a width of their own whatever the layers' is, not only
            where the configuration says so.
        shares_layers: one layer's parameters serve all layers.
        rotates: positions are a rotation of queries and keys, whose frequencies are those of the head width.
        bare_first_layer: the first layer has no norm where the others have one.
        one_width: why a student is as wide as its teacher, and not cut; empty if it need not be.
        unpackable: why several texts cannot share a row; empty if they can.
    """

    layers_key: str
    width_key: str
    heads_key: str
    ffn_key: str
    layer_pattern: str
    ffn_output: str
    attention_output: str
    axes: tuple[tuple[str, tuple[Axis, ...]], ...] = ()
    taps_softmax: bool = False
    projects_embedding: bool = False
    shares_layers: bool = False
    rotates: bool = False
    bare_first_layer: bool = False
    one_width: str = ""
    unpackable: str = ""

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


_ANSWERS: tuple[str, tuple[Axis, ...]] = (r"qa_outputs\.(weight|bias)$", ("all", "width"))

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
    _ANSWERS,
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
        _ANSWERS,
    ),
)

_ALBERT = replace(
    _BERT,
    layer_pattern=r"\balbert_layer_groups\.(\d+)\.albert_layers\.0\.",
    ffn_output="ffn_output",
    attention_output="attention.dense",
    axes=(
        (r"embeddings\.\w+_embeddings\.weight$", ("all", "embed")),
        (r"embeddings\.LayerNorm\.", ("embed",)),
        (r"embedding_hidden_mapping_in\.", ("width", "embed")),
        (r"attention\.(query|key)\.", ("qk", "width")),
        (r"attention\.value\.", ("vo", "width")),
        (r"attention\.dense\.", ("width", "vo")),
        (r"ffn\.", ("ffn", "width")),
        (r"ffn_output\.", ("width", "ffn")),
        (r"(LayerNorm|layer_norm)\.", ("width",)),
        (r"pooler\.", ("width", "width")),
        (r"classifier\.", ("all", "width")),
        _ANSWERS,
    ),
    projects_embedding=True,
    shares_layers=True,
)

_DEBERTA = replace(
    _BERT,
    axes=(
        (r"embeddings\.\w+_embeddings\.weight$", ("all", "embed")),
        (r"embed_proj\.", ("width", "embed")),
        (r"rel_embeddings\.weight$", ("all", "width")),
        (r"attention\.self\.(pos_)?(query|key)_proj\.", ("qk", "width")),
        (r"attention\.self\.value_proj\.", ("vo", "width")),
        (r"attention\.output\.dense\.", ("width", "vo")),
        (r"intermediate\.dense\.", ("ffn", "width")),
        (r"output\.dense\.", ("width", "ffn")),
        (r"LayerNorm\.", ("width",)),
        (r"pooler\.dense\.", ("width", "width")),
        (r"classifier\.(weight|bias)$", ("all", "width")),
        _ANSWERS,
    ),
    taps_softmax=True,
    unpackable="it builds its attention mask from one row of real tokens",
)

_MOBILEBERT = replace(
    _BERT,
    axes=(),
    projects_embedding=True,
    one_width="its layers work in a bottleneck, whose width a shape does not tell",
    unpackable="its embedding layer reads the neighbours of each token, whichever text they are of",
)

_MODERNBERT = replace(
    _BERT,
    layer_pattern=r"\blayers\.(\d+)\.",
    ffn_output="mlp.Wo",
    attention_output="attn.Wo",
    axes=(
        (r"tok_embeddings\.weight$", ("all", "embed")),
        (r"attn\.Wqkv\.", ("qkv", "width")),
        (r"attn\.Wo\.", ("width", "vo")),
        (r"mlp\.Wi\.", ("gated", "width")),
        (r"mlp\.Wo\.", ("width", "ffn")),
        (r"norm\.", ("width",)),
        (r"head\.dense\.", ("width", "width")),
        (r"classifier\.(weight|bias)$", ("all", "width")),
    ),
    rotates=True,
    bare_first_layer=True,
)

ANATOMIES: dict[str, Anatomy] = {
    "bert": _BERT,
    "roberta": _BERT,
    "electra": _BERT,
    "distilbert": _DISTILBERT,
    "albert": _ALBERT,
    "camembert": _BERT,
    "deberta-v2": _DEBERTA,
    "mobilebert": _MOBILEBERT,
    "modernbert": _MODERNBERT,
    "xlm-roberta": _BERT,
}
"""model_type -> its anatomy: the architectures whose attention and parameters bertling knows and tests."""

_POSITIONS_BEHIND_PADDING = ("roberta", "camembert", "xlm-roberta")


def anatomy_of(config: PretrainedConfig) -> Anatomy:
    """The anatomy of a model's architecture; raises ModelError for one that is not supported."""
    if config.model_type not in ANATOMIES:
        raise ModelError(
            f"the architecture {config.model_type!r} is not supported; expected one of {', '.join(ANATOMIES)}"
        )
    for key in ("num_hidden_groups", "inner_group_num"):
        if (count := getattr(config, key, 1)) != 1:
            raise ModelError(
                f"{key} = {count} in an {config.model_type!r} is not supported; expected 1: one layer that "
                "serves all"
            )
    return ANATOMIES[config.model_type]


def first_position(config: PretrainedConfig) -> int:
    """The position of a text's first token: RoBERTa and its kin count from behind the padding token's id."""
    return int(config.pad_token_id or 0) + 1 if config.model_type in _POSITIONS_BEHIND_PADDING else 0


def window_of(config: PretrainedConfig, layer: int) -> int | None:
    """How many places apart a layer (from 1) compares tokens; None: however far they are."""
    types = getattr(config, "layer_types", None)
    local = types is not None and types[layer - 1] == "sliding_attention"
    return int(config.sliding_window) if local else None


def layers_of(model: PreTrainedModel) -> list[str]:
    """Module names of the encoder's layers, first layer first; one that serves all is named for each."""
    anatomy = anatomy_of(model.config)
    found = [
        name.rstrip(".")
        for name, _ in model.named_modules()
        if re.search(anatomy.layer_pattern + "$", name + ".")
    ]
    return found * getattr(model.config, anatomy.layers_key) if anatomy.shares_layers else found
