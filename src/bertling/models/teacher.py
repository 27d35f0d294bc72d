"""Models that exist and tokenizers, by what a task needs of them: an encoder, or a head with its labels.

Weights that do not fit are an error. transformers gives them random values and a log line; here a new
head has to be asked for, and anything else missing or of another shape is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import (
    AutoModel,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from bertling.errors import ModelError
from bertling.models.labels import match_label_names, output_names
from bertling.models.reading import find_model, read_config, read_model, refuse_misfits, refusing_damage

_TOKENIZER_FILES = ("tokenizer*", "*vocab*", "*.model")
_UNKNOWN = "\ua66e"
"""a letter of a single manuscript, which a vocabulary hardly has"""
_POOLER = "pooler"
# What transformers calls the parts that a task brings along; a pooler belongs to them, since general
# checkpoints leave it untrained or out.
_HEAD_PARTS = ("classifier", "head", _POOLER, "pre_classifier", "qa_outputs")


_KINDS: dict[str, tuple[Any, str]] = {
    "texts": (AutoModelForSequenceClassification, "ForSequenceClassification"),
    "words": (AutoModelForTokenClassification, "ForTokenClassification"),
    "answers": (AutoModelForQuestionAnswering, "ForQuestionAnswering"),
}
"""what a head is of -> the class that loads it, and how architectures with it are called"""
_START_AND_END = 2


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The fast tokenizer of a model; raises ModelError where there is none."""
    found = find_model(name)
    folder = Path(found)
    absent = ModelError(
        f"{name} has no tokenizer (tokenizer.json), or an empty one; save one beside the model"
    )
    if folder.is_dir() and not any(list(folder.glob(files)) for files in _TOKENIZER_FILES):
        raise absent
    tokenizer = refusing_damage(
        found, "tokenizer", lambda: AutoTokenizer.from_pretrained(found, trust_remote_code=False)
    )
    if not tokenizer.is_fast:
        raise ModelError(f"{name} has no fast tokenizer (tokenizer.json); save one beside the model")
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        # What transformers makes up where it finds no tokenizer: everything is an unknown token to it.
        raise absent
    # One whose vocabulary lacks its own unknown token fails at the first text that needs it, in mid-training.
    refusing_damage(found, "tokenizer", lambda: tokenizer.backend_tokenizer.encode(_UNKNOWN))
    checked: PreTrainedTokenizerBase = tokenizer
    return checked


def load_encoder(name: str) -> PreTrainedModel:
    """A model without a head, in eval mode, float32.

    A pooler that the checkpoint lacks is left out of the model (its ``pooler`` is None), not made up.

    Raises:
        ModelError: not found, or weights that do not fit.
    """
    model, misfits = read_model(AutoModel, name)
    pooler = {key for key in model.state_dict() if _POOLER in key.split(".")}
    if pooler and pooler <= misfits.missing:
        model.register_module(_POOLER, None)
        misfits = misfits.without(pooler)
    refuse_misfits(name, model, misfits)
    return model


def load_classifier(
    name: str,
    *,
    label_names: Sequence[str] | None,
    new_head: bool,
    regression: bool = False,
    word_labels: bool = False,
    multi_label: bool = False,
    question_answering: bool = False,
    outputs: Sequence[str] | None = None,
) -> PreTrainedModel:
    """A classifier of texts or words in eval mode, float32, its outputs in the order of the task's classes.

    Or a model that answers questions, whose two outputs are where an answer starts and where it ends.

    Args:
        name: folder, hub name or ``package:NAME``.
        label_names: of the task's classes, in the order of its class ids; None for regression and answers.
        new_head: True for an encoder that will be fine-tuned: pooler and classifier that are missing start
            at random. False for one that has been: everything must be there, and its outputs are matched with
            the task's classes by name (see `output_order`).
        regression: one output, no labels.
        word_labels: a classifier of each token, and not of the text.
        multi_label: a text may have several labels.
        question_answering: the answers are parts of a context.
        outputs: what the outputs of a fine-tuned model are called, in its order; default: as its
            configuration says.

    Raises:
        ModelError: not found, weights that do not fit, label names that are not the task's, or a fine-tuned
            model of another kind of labels.
    """
    what = "words" if word_labels else "answers" if question_answering else "texts"
    kind = _KINDS[what][0]
    if not new_head:
        model, misfits = read_model(kind, name)
        _check_kind(name, model, what=what, multi_label=multi_label)
        refuse_misfits(
            name, model, misfits, hint="If it is not fine-tuned yet, set teacher.fine_tune = true. "
        )
        if not question_answering:
            match_label_names(model, label_names, outputs)
        elif model.config.num_labels != _START_AND_END:
            raise ModelError(
                f"{name} has {model.config.num_labels} outputs for each token; a model that answers "
                f"questions has {_START_AND_END}, where an answer starts and where it ends: choose another"
            )
        return model
    if question_answering:
        labels: dict[str, Any] = {"num_labels": _START_AND_END}
    elif regression:
        labels = {"num_labels": 1, "problem_type": "regression"}
    else:
        names = list(label_names or ())
        labels = {
            "num_labels": len(names),
            "id2label": dict(enumerate(names)),
            "label2id": {name: index for index, name in enumerate(names)},
        }
        if not word_labels:
            several = "multi" if multi_label else "single"
            labels["problem_type"] = f"{several}_label_classification"
    model, misfits = read_model(kind, name, **labels)
    head = {key for key in model.state_dict() if any(part in _HEAD_PARTS for part in key.split("."))}
    refuse_misfits(name, model, misfits.without(head))
    return model


def _check_kind(name: str, model: PreTrainedModel, *, what: str, multi_label: bool) -> None:
    """Refuse what would load, since heads are of the same shape, and has learned something else."""
    named = model.config.architectures  # as the file has it, which may hold anything
    learned = [name for name in named if isinstance(name, str)] if isinstance(named, list) else []
    for other, (_, suffix) in _KINDS.items():
        if other != what and learned and all(architecture.endswith(suffix) for architecture in learned):
            raise ModelError(
                f"{name} is a classifier of {other} ({', '.join(learned)}), and the task's labels are those "
                f"of {what}: choose another model, or set [task] word_labels or question_answering"
            )
    if not multi_label:
        return
    if model.config.problem_type not in (None, "multi_label_classification"):
        raise ModelError(
            f"{name} has learned one label for each text (problem_type {model.config.problem_type!r} in its "
            "config.json), and the task has several: choose another model, or leave multi_label out"
        )
    model.config.problem_type = "multi_label_classification"


def teacher_outputs(name: str) -> list[str]:
    """What a model calls its outputs, in their order; raises ModelError as `output_names` does."""
    return output_names(read_config(find_model(name)))


def same_vocabulary(teacher: PreTrainedTokenizerBase, student: PreTrainedTokenizerBase) -> None:
    """Refuse a student that reads other token ids than its teacher; raises ModelError."""
    ours, theirs = teacher.get_vocab(), student.get_vocab()
    if ours != theirs:
        different = sum(ours.get(token) != index for token, index in theirs.items())
        raise ModelError(
            f"teacher and student have different vocabularies ({len(ours)} and {len(theirs)} entries, "
            f"{different} of the student's differ): token-level losses compare unlike tokens. "
            "Use a student with the teacher's tokenizer; or let the teacher give predictions alone: "
            '[teacher] models = [{model = "..."}]'
        )
