"""Heads of the teacher that mostly attend to special tokens, which a stage's attention loss leaves out.

Clark et al. 2019 (arXiv:1906.04341), section 3.2: such attention is a no-op, for when what the head looks for
is not there. Its scores, which the loss compares, then say little. In the paper's BERT the token is [SEP]; in
other encoders it is the first one, so both count.
"""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedModel

from bertling.data.tokenization import TokenRows
from bertling.errors import ModelError
from bertling.evaluation.attention_figures import attention_to_special_tokens
from bertling.files import write_whole
from bertling.objectives.layer_map import LayerMap
from bertling.pipeline.context import Context
from bertling.recipe.training_sections import DistillationSection
from bertling.results_of_attention import NoOpHeads

FILE = "no_op_heads.json"
"""in a stage's folder: which heads its attention loss leaves out, and what was measured"""


def counting_heads(
    context: Context,
    folder: Path,
    section: DistillationSection,
    *,
    teacher: PreTrainedModel,
    dataset: TokenRows,
    layers: LayerMap,
) -> dict[int, list[int]] | None:
    """Teacher layer -> its heads, from 1, that the term attention compares; None where all of them count.

    They are measured once, on the texts that calibrate, and kept with the stage: when it goes on, and in all
    processes, the same heads count. A layer without any is left out of the term.

    Raises:
        ModelError: no head is left in the layers that are compared.
    """
    if section.no_op_threshold is None:
        return None
    record = context.processes.from_first(lambda: _recorded(context, folder, section, teacher, dataset))
    counting = {
        layer: [head for head in range(1, len(shares) + 1) if head not in record.left_out.get(layer, ())]
        for layer, shares in enumerate(record.to_special, start=1)
    }
    compared = sorted(set(layers.values()))
    if not any(counting[layer] for layer in compared):
        least = min(min(record.to_special[layer - 1]) for layer in compared)
        stage = folder.name.removesuffix(".partial")
        raise ModelError(
            f"[{stage}] no_op_threshold = {record.threshold:g} leaves no head of the teacher's layers "
            f"{', '.join(map(str, compared))} for the attention loss: all of them give more of "
            f"their attention to {_named(record)}, the least {least:.2f}. Raise it, or leave the term "
            "attention out"
        )
    _announce(context, record, counting, compared)
    return counting


def _recorded(
    context: Context, folder: Path, section: DistillationSection, teacher: PreTrainedModel, dataset: TokenRows
) -> NoOpHeads:
    file = folder / FILE
    if not file.exists():
        assert section.no_op_threshold is not None
        batches = context.calibration(dataset)
        to_special = attention_to_special_tokens(teacher, context.tokenizer, batches).tolist()
        above = {
            layer: [head for head, share in enumerate(shares, start=1) if share > section.no_op_threshold]
            for layer, shares in enumerate(to_special, start=1)
        }
        measured = NoOpHeads(
            threshold=section.no_op_threshold,
            texts=sum(len(batch["input_ids"]) for batch in batches),
            special_tokens=[
                str(token) for token in (context.tokenizer.cls_token, context.tokenizer.sep_token) if token
            ],
            to_special=to_special,
            left_out={layer: heads for layer, heads in above.items() if heads},
        )
        write_whole(file, measured.model_dump_json(indent=1))
    return NoOpHeads.model_validate_json(file.read_text(encoding="utf-8"))


def _announce(
    context: Context, record: NoOpHeads, counting: dict[int, list[int]], compared: list[int]
) -> None:
    out = [f"{layer}: {_listed(record, counting, layer)}" for layer in compared if layer in record.left_out]
    context.console.print(
        f"{'':>14}left out of the attention loss, more than {record.threshold:g} of the attention on "
        f"{_named(record)}: {'layer ' + '; '.join(out) if out else 'no head'}",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )


def _named(record: NoOpHeads) -> str:
    return " and ".join(dict.fromkeys(record.special_tokens))


def _listed(record: NoOpHeads, counting: dict[int, list[int]], layer: int) -> str:
    heads = ", ".join(map(str, record.left_out[layer]))
    return f"heads {heads}" if counting[layer] else "all heads"
