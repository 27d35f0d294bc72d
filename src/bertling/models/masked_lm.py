"""Masked language models: load one, or give an encoder the head that it lacks.

B batch, T tokens, P positions that are asked for, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import AutoModelForMaskedLM, PreTrainedModel, PreTrainedTokenizerBase

from bertling.data.collation import PadToLongest
from bertling.data.sampler import GroupedBatchSampler
from bertling.data.tokenization import TokenRows
from bertling.errors import DataError, NonFiniteLossError
from bertling.models.masking import Guesses, Masking
from bertling.models.reading import Misfits, read_model, refuse_misfits

# Architectures whose layers are built of BERT's modules.
_LIKE_BERT = ("bert", "camembert", "electra", "roberta", "xlm-roberta")
_HELD_OUT_TEXTS = 500
_LEARNING_RATE = 3e-3
# Far enough up for GELU to be the identity, too; the LayerNorm behind it takes a common shift out again.
_SHIFT = 4.0


@dataclass(frozen=True, slots=True)
class MaskedScore:
    """How well held-out tokens are guessed behind the mask token; few of them are frequent words.

    Attributes:
        accuracy: fraction of them for which the model's first guess is right.
        loss: mean cross-entropy, nats a token.
        positions: how many there are.
    """

    accuracy: float
    loss: float
    positions: int


@dataclass(frozen=True, slots=True)
class FittedMaskedLM:
    """A masked LM whose head was fitted to its encoder, and what the head knew before and after."""

    model: PreTrainedModel
    before: MaskedScore
    after: MaskedScore


def load_masked_lm(name: str) -> PreTrainedModel:
    """A model with its masked-LM head, in eval mode, float32.

    Raises:
        ModelError: not found, or weights that do not fit; the head is missing.
    """
    model, misfits = read_model(AutoModelForMaskedLM, name)
    hint = (
        "It has no masked-LM head: fit one with fit_masked_lm_head. " if _lacks_head(model, misfits) else ""
    )
    refuse_misfits(name, model, misfits, hint=hint)
    return model


def has_masked_lm_head(name: str) -> bool:
    """Whether a checkpoint brings all of a masked-LM head, so that `load_masked_lm` takes it.

    Raises:
        ModelError: not found, or weights of the encoder that do not fit.
    """
    model, misfits = read_model(AutoModelForMaskedLM, name)
    refuse_misfits(name, model, misfits.without(_head_names(model)))
    return not _lacks_head(model, misfits)


def fit_masked_lm_head(
    name: str,
    dataset: TokenRows,
    tokenizer: PreTrainedTokenizerBase,
    *,
    steps: int = 400,
    batch_size: int = 32,
    seed: int,
    progress: Callable[[int, int, float], None] | None = None,
) -> FittedMaskedLM:
    """Give an encoder a masked-LM head: train the head alone, on top of the encoder as it is.

    The head's last layer is the encoder's embedding table, which stays as it is too. What a checkpoint lacks
    of the head starts as the identity where it is square, else at random, and its last bias at the log of how
    often each token is guessed. That is 15% of the tokens, rare ones rather than frequent ones; the loss is
    their mean cross-entropy; Adam, the rate falling linearly. The same arguments give the same head.

    How much can be learned is the encoder's affair: to one that never saw a mask token, such as a sentence
    encoder, the place of a masked word says little of the word. Such a head is of use for augmentation's
    unmasked mode alone.

    Args:
        name: folder, hub name or ``package:NAME`` of an encoder.
        dataset: texts, of which at most 500 (a tenth, if there are few) are held out to measure on.
        tokenizer: the model's own.
        steps: batches.
        batch_size: texts in a batch.
        seed: of the head, the batches, the masks, and what is held out.
        progress: called after every step with the steps done, all steps, and the loss.

    Returns:
        the model, in eval mode, float32, with the scores.

    Raises:
        ModelError: not found, weights of the encoder that do not fit, or a tokenizer without a mask token.
        DataError: fewer than two texts, packed ones, or no token to mask in those held out.
        NonFiniteLossError: the loss is NaN or infinite.
    """
    if dataset.packed:
        raise DataError("got rows of several texts each to fit a masked-LM head on; expected one text a row")
    training, held_out = _split(dataset, steps * batch_size, seed=seed)
    masking = Masking(tokenizer, np.concatenate([dataset[row]["input_ids"] for row in training]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, misfits = read_model(AutoModelForMaskedLM, name, tie_word_embeddings=True)
    head = _head_names(model)
    refuse_misfits(name, model, misfits.without(head))
    _start_at_identity(model, misfits)
    _start_at_shares(model, misfits, masking.shares)
    collate = PadToLongest(tokenizer)

    def batch_of(rows: Sequence[int]) -> dict[str, Tensor]:
        return collate([{"input_ids": dataset[row]["input_ids"]} for row in rows])

    measured = [
        batch_of(held_out[start : start + batch_size]) for start in range(0, len(held_out), batch_size)
    ]
    before = _measure(model, measured, masking, seed=seed)
    trained = _free_the_head_alone(model)
    optimizer = torch.optim.Adam(trained, lr=_LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
    order = _batches(dataset, training, batch_size=batch_size, seed=seed)
    for step, rows in enumerate(islice(order, steps), start=1):
        batch = batch_of(rows)
        guesses = masking.hide(batch, np.random.default_rng([seed, 2, step]))
        if len(guesses.targets) == 0:
            continue
        loss = _losses(model, batch, guesses)[0].mean()
        if not bool(loss.isfinite()):
            raise NonFiniteLossError(
                f"the masked-LM loss is {loss.item()} at step {step}: look for NaN in the weights of {name}"
            )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if progress is not None:
            progress(step, steps, loss.item())
    model.requires_grad_(True)
    model.zero_grad()
    return FittedMaskedLM(model, before, _measure(model, measured, masking, seed=seed))


def logits_at(model: PreTrainedModel, inputs: Mapping[str, Tensor], rows: Tensor, columns: Tensor) -> Tensor:
    """Logits (P, V) at some positions of a batch; a masked-LM head costs as much as layers do.

    Args:
        model: a masked LM whose head reads each position by itself.
        inputs: ``input_ids`` (B, T), ``attention_mask`` (B, T), ...
        rows, columns: (P,) the positions.
    """
    hook = _narrow(model, lambda states: states[rows, columns][None])
    try:
        logits: Tensor = model(**inputs, return_dict=True).logits[0]
    finally:
        hook.remove()
    return logits


def _narrow(model: PreTrainedModel, wanted: Callable[[Tensor], Tensor]) -> RemovableHandle:
    """Have the head read ``wanted``, (1, P, D), of the encoder's output, (B, T, D), while the handle lasts.

    The head costs as much as layers do, and reads each position by itself. So does the last layer, once its
    attention is done; where we know its modules, it is spared as well.
    """
    if model.config.model_type in _LIKE_BERT:
        last = f"encoder.layer.{model.config.num_hidden_layers - 1}.attention.output"
        # It takes the attention's output and the layer's input, which it adds.
        return model.base_model.get_submodule(last).register_forward_pre_hook(
            lambda _, states: tuple(wanted(state) for state in states)
        )

    def narrow(module: nn.Module, inputs: Any, output: Any) -> Any:
        output.last_hidden_state = wanted(output.last_hidden_state)
        return output

    return model.base_model.register_forward_hook(narrow)


def _losses(model: PreTrainedModel, batch: Mapping[str, Tensor], guesses: Guesses) -> tuple[Tensor, Tensor]:
    """Cross-entropy (P,) of each guess, and whether it is right (P,)."""
    inputs = {**batch, "input_ids": guesses.ids}
    logits = logits_at(model, inputs, guesses.rows, guesses.columns)
    losses = nn.functional.cross_entropy(logits, guesses.targets, reduction="none")
    return losses, logits.argmax(-1) == guesses.targets


@torch.inference_mode()
def _measure(
    model: PreTrainedModel, batches: Sequence[Mapping[str, Tensor]], masking: Masking, *, seed: int
) -> MaskedScore:
    """On the same masks every time, behind the mask token alone."""
    random = np.random.default_rng([seed, 1])
    results = [_losses(model, batch, masking.hide(batch, random, all_masked=True)) for batch in batches]
    losses, right = (torch.cat(parts).double() for parts in zip(*results, strict=True))
    if not len(losses):
        raise DataError("the texts hold nothing but special tokens; expected tokens to mask")
    return MaskedScore(float(right.mean()), float(losses.mean()), len(losses))


def _split(dataset: TokenRows, wanted: int, *, seed: int) -> tuple[list[int], list[int]]:
    """Rows to train on, as many as are wanted or there are, and rows that are held out."""
    if len(dataset) < 2:
        raise DataError(f"got {len(dataset)} texts to fit a masked-LM head on; expected at least 2")
    held_out = min(_HELD_OUT_TEXTS, max(1, len(dataset) // 10))
    random = np.random.default_rng([seed, 0])
    rows = random.choice(len(dataset), min(len(dataset), held_out + wanted), replace=False).tolist()
    return rows[held_out:], rows[:held_out]


def _batches(dataset: TokenRows, rows: Sequence[int], *, batch_size: int, seed: int) -> Iterator[list[int]]:
    """Batches of the rows, epoch after epoch."""
    sampler = GroupedBatchSampler(dataset.lengths[rows], batch_size=batch_size, seed=seed)
    for epoch in count():
        sampler.set_epoch(epoch)
        for draws in sampler:
            yield [rows[draw.example] for draw in draws]


def _head_names(model: PreTrainedModel) -> set[str]:
    prefix = f"{model.base_model_prefix}."
    return {name for name in model.state_dict() if not name.startswith(prefix)}


def _lacks_head(model: PreTrainedModel, misfits: Misfits) -> bool:
    return bool((misfits.missing | misfits.mismatched) & _head_names(model))


def _start_at_identity(model: PreTrainedModel, misfits: Misfits) -> None:
    """What is missing of the transform starts as the identity where it is square."""
    for name, module in model.named_modules():
        # Without a bias there is no shift, so a map like that (ModernBERT's) starts at random.
        if isinstance(module, nn.Linear) and {f"{name}.weight", f"{name}.bias"} <= misfits.missing:
            nn.init.zeros_(module.bias)
            if module.in_features == module.out_features:
                nn.init.eye_(module.weight)
                nn.init.constant_(module.bias, _SHIFT)


def _start_at_shares(model: PreTrainedModel, misfits: Misfits, shares: npt.NDArray[np.float64]) -> None:
    """A missing bias of the last layer starts at the log of each token's share, which is far to learn."""
    bias = model.get_output_embeddings().bias
    if any(parameter is bias and name in misfits.missing for name, parameter in model.named_parameters()):
        with torch.no_grad():
            bias.fill_(float(np.log(shares.min())))
            bias[: len(shares)] = torch.from_numpy(np.log(shares))


def _free_the_head_alone(model: PreTrainedModel) -> list[nn.Parameter]:
    """Let gradients reach what is not the encoder's; the head's last layer is, being its embedding table."""
    model.base_model.requires_grad_(False)
    return [parameter for parameter in model.parameters() if parameter.requires_grad]
