"""Cut a smaller model out of a bigger one, keeping the units that matter most on calibration text.

After Minitron (Muralidharan et al. 2024, arXiv:2407.14679, section 2.2), which does it for decoders:
importance is measured with forward passes alone. Every unit's importance is the mean size, over real
tokens, of what it contributes:

    width channel   |x|, summed over the embedding and all layers' outputs (all share the channels)
    qk dimension    sqrt(E[q^2] E[k^2]), its share of the attention scores
    vo dimension    sqrt(E[v^2]) ||W_o column||, its share of the attention's output
    ffn neuron      sqrt(E[a^2]) ||W_2 column||, its share of the feed-forward output

B batch, T tokens, D width, H heads, d head width, F neurons, L layers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from bertling.errors import ModelError
from bertling.models.anatomy import anatomy_of, layers_of
from bertling.models.capture import observe
from bertling.states import EncoderStates


@dataclass(frozen=True, slots=True)
class Importance:
    """Importance of every unit, larger matters more.

    Attributes:
        width: (D,).
        qk: (L, H, d). Where one layer serves all, its units have the mean of their importance in each.
        vo: (L, H, d).
        ffn: (L, F).
    """

    width: Tensor
    qk: Tensor
    vo: Tensor
    ffn: Tensor


@torch.no_grad()
def measure_importance(model: PreTrainedModel, batches: Iterable[Mapping[str, Tensor]]) -> Importance:
    """Measure a model's units on batches of ``input_ids``, ``attention_mask``, ... each (B, T).

    Raises:
        ModelError: the architecture is not supported, or there is no batch.
    """
    anatomy = anatomy_of(model.config)
    modules = dict(model.named_modules())
    layers = layers_of(model)
    ffn_outputs = [modules[f"{layer}.{anatomy.ffn_output}"] for layer in layers]
    attention_outputs = [modules[f"{layer}.{anatomy.attention_output}"] for layer in layers]
    neurons: list[Tensor] = []
    hooks = [
        module.register_forward_pre_hook(lambda _, inputs: neurons.append(inputs[0]))
        for module in dict.fromkeys(ffn_outputs)
    ]
    was_training = model.training
    model.eval()
    sums: list[Tensor] = []
    tokens = 0
    try:
        for batch in batches:
            neurons.clear()
            states = observe(model, batch, attention_layers=range(1, len(layers) + 1))
            tokens += int(states.mask.sum())
            seen = _sums(states, neurons)
            sums = [total + more for total, more in zip(sums, seen, strict=True)] if sums else list(seen)
    finally:
        for hook in hooks:
            hook.remove()
        model.train(was_training)
    if tokens == 0:
        raise ModelError("there is no calibration text to measure importance on; give at least one batch")
    width, queries, keys, values, activations = sums
    qk = (queries * keys).sqrt() / tokens
    vo = (values / tokens).sqrt() * _column_norms(attention_outputs).view_as(values)
    ffn = (activations / tokens).sqrt() * _column_norms(ffn_outputs)
    if anatomy.shares_layers:
        qk, vo, ffn = (each.mean(0, keepdim=True).expand_as(each) for each in (qk, vo, ffn))
    return Importance(width=width / tokens, qk=qk, vo=vo, ffn=ffn)


def _sums(states: EncoderStates, neurons: list[Tensor]) -> tuple[Tensor, ...]:
    """Over real tokens: sum of |x| (D,), sums of squares of q, k and v (L, H, d) and of neurons (L, F)."""
    real = states.mask
    outputs = torch.stack([states.embedding, *states.hidden.values()])
    attention = [states.attention[layer] for layer in sorted(states.attention)]

    def squares(layers: list[Tensor]) -> Tensor:
        # (B, T, ...) of each layer -> (L, ...)
        return torch.stack([layer[real].double().square().sum(0) for layer in layers])

    return (
        outputs[:, real].double().abs().sum((0, 1)),
        squares([layer.query.transpose(1, 2) for layer in attention]),
        squares([layer.key.transpose(1, 2) for layer in attention]),
        squares([layer.value.transpose(1, 2) for layer in attention]),
        squares(neurons),
    )


def _column_norms(modules: list[nn.Module]) -> Tensor:
    """Norm of each input's column in each module's weight, (L, inputs)."""
    weights = [module.weight for module in modules]
    return torch.stack([weight.norm(dim=0) for weight in weights if isinstance(weight, Tensor)]).double()


def _top(importance: Tensor, count: int) -> Tensor:
    """Indices of the ``count`` largest values, ascending, ties broken by position."""
    order = torch.argsort(importance, descending=True, stable=True)
    return order[:count].sort().values


def _head_units(importance: Tensor, heads: Tensor, head_width: int) -> Tensor:
    """Flat indices into H * d of the best ``head_width`` dimensions of each head in ``heads``."""
    full = importance.shape[1]
    return torch.cat([head * full + _top(importance[head], head_width) for head in heads.tolist()])


def cut(
    teacher: PreTrainedModel, student: PreTrainedModel, *, sources: list[int], importance: Importance | None
) -> dict[str, Tensor]:
    """A state dict for ``student`` made of the teacher's weights.

    Args:
        teacher: model to cut from.
        student: model of the same class and a smaller shape, which `student.check_source` has found to fit;
            read for its shapes only.
        sources: teacher layer, from 1, for each student layer.
        importance: of the teacher's units; None where the shapes differ in depth alone.

    Raises:
        ModelError: a parameter that the architecture's table does not know.
    """
    anatomy = anatomy_of(teacher.config)
    small, big = student.config, teacher.config
    width = getattr(small, anatomy.width_key)
    heads = getattr(small, anatomy.heads_key)
    ffn = getattr(small, anatomy.ffn_key)
    full_width, full_heads = getattr(big, anatomy.width_key), getattr(big, anatomy.heads_key)
    full_ffn = getattr(big, anatomy.ffn_key)
    head_width, full_head_width = width // heads, full_width // full_heads
    # Where the embedding tables have a width of their own (ELECTRA's projection), it stays as it is.
    table_width = getattr(big, "embedding_size", full_width)
    own_width = anatomy.projects_embedding or table_width != full_width
    if anatomy.shares_layers:
        sources = [1]
    kept: dict[tuple[str, int | None], Tensor] = {}
    if importance is not None:
        kept["width", None] = _top(importance.width, width)
        kept["embed", None] = torch.arange(table_width) if own_width else kept["width", None]
        for source in set(sources):
            layer = source - 1
            chosen = _top(importance.vo[layer].norm(dim=-1), heads)
            kept["qk", layer] = qk = _head_units(importance.qk[layer], chosen, head_width)
            kept["vo", layer] = vo = _head_units(importance.vo[layer], chosen, head_width)
            kept["qkv", layer] = torch.cat([qk, full_width + qk, 2 * full_width + vo])
            kept["ffn", layer] = neurons = _top(importance.ffn[layer], ffn)
            kept["gated", layer] = torch.cat([neurons, full_ffn + neurons])
    # The model divides scores by sqrt(head width); queries are scaled so that a score keeps its size.
    rescale = (head_width / full_head_width) ** 0.5
    whole = teacher.state_dict()
    pieces: dict[str, Tensor] = {}
    for name, target in student.state_dict().items():
        layer_index = anatomy.layer_of(name)
        source_index = None if layer_index is None else sources[layer_index] - 1
        source_name = name if source_index is None else anatomy.in_layer(name, source_index)
        piece = whole[source_name].detach().cpu()
        if importance is not None:
            axes = anatomy.axes_of(name, piece.dim())
            for axis, kind in enumerate(axes):
                if kind != "all":
                    units = kept[kind, None if kind in ("width", "embed") else source_index]
                    piece = piece.index_select(axis, units.to(piece.device))
            if axes[0] == "qk" and ("query" in name or "q_lin" in name):
                piece = piece * rescale
        if piece.shape != target.shape:
            raise ModelError(
                f"{name}: the piece cut from the teacher is {tuple(piece.shape)}, "
                f"the student needs {tuple(target.shape)}"
            )
        pieces[name] = piece.clone()
    return pieces
