"""Load models that exist: local folders, names on the Hugging Face hub, models inside installed packages.

Weights that do not fit are an error. transformers gives them random values and a log line; here a new
head has to be asked for, and anything else missing or of another shape is refused.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from bertling.errors import ModelError
from bertling.models.folders import check_folder, check_size
from bertling.models.labels import match_label_names, output_names

_PACKAGE = "package:"
_TOKENIZER_FILES = ("tokenizer*", "*vocab*", "*.model")
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


def find_model(name: str) -> str:
    """A folder for ``name`` where there is one locally, else the name itself, for the hub.

    ``package:NAME`` stands for the one folder with a ``config.json`` inside the installed package NAME.

    Raises:
        ModelError: the folder holds no model, or the package is not installed or holds none or several.
    """
    if name.startswith(_PACKAGE):
        return str(_inside_package(name.removeprefix(_PACKAGE)))
    try:
        path = Path(name).expanduser()
        there = path.exists()
    except (OSError, RuntimeError) as error:  # a name too long, or a home of nobody
        raise ModelError(f"{name[:200]!r} can be no folder ({error}): check the model's name") from error
    if there:
        if not (path / "config.json").is_file():
            raise ModelError(
                f"{path} is not a model folder: it has no config.json. Give a folder that transformers saved"
            )
        check_folder(path)
        return str(path)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(f"the model folder {name} does not exist (looked in {Path.cwd()})")
    return name


def _inside_package(package: str) -> Path:
    # find_spec of a top-level name locates it without running any of its code.
    try:
        spec = importlib.util.find_spec(package) if package.isidentifier() else None
    except ValueError:  # of a module that is no package, such as __main__
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            f"no package {package!r} is installed, and package:{package} names a model inside it; "
            f"try pip install {package.replace('_', '-')}"
        )
    root = Path(spec.submodule_search_locations[0])
    found = sorted(
        config.parent for config in root.rglob("config.json") if list(config.parent.glob("*.safetensors"))
    )
    if len(found) != 1:
        raise ModelError(f"package {package} holds {len(found)} model folders, expected exactly one: {found}")
    return found[0]


def hub_revision(name: str) -> str:
    """Commit of a model on the hub, which stands for its content; raises ModelError where there is none."""
    config = _reading(name, "model", lambda: _read_config(name))
    return f"{name}@{config._commit_hash}"


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The fast tokenizer of a model; raises ModelError where there is none."""
    found = find_model(name)
    folder = Path(found)
    absent = ModelError(
        f"{name} has no tokenizer (tokenizer.json), or an empty one; save one beside the model"
    )
    if folder.is_dir() and not any(list(folder.glob(files)) for files in _TOKENIZER_FILES):
        raise absent
    tokenizer = _reading(
        found, "tokenizer", lambda: AutoTokenizer.from_pretrained(found, trust_remote_code=False)
    )
    if not tokenizer.is_fast:
        raise ModelError(f"{name} has no fast tokenizer (tokenizer.json); save one beside the model")
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        # What transformers makes up where it finds no tokenizer: everything is an unknown token to it.
        raise absent
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
    learned = model.config.architectures or []
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
    found = find_model(name)
    return output_names(_reading(found, "model", lambda: _read_config(found)))


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


@dataclass(frozen=True, slots=True)
class Misfits:
    """Parameters of a model that its checkpoint does not have, or has in another shape: random so far."""

    missing: frozenset[str]
    mismatched: frozenset[str]

    def without(self, names: Set[str]) -> Misfits:
        """Those that are not among ``names``."""
        return Misfits(self.missing - names, self.mismatched - names)


def read_model(kind: Any, name: str, **settings: Any) -> tuple[PreTrainedModel, Misfits]:
    """A model in eval mode, float32, and what of it is random: the caller judges which of that may be.

    Args:
        kind: one of transformers' AutoModel classes.
        name: folder, hub name or ``package:NAME``.
        settings: that replace those of the configuration.

    Raises:
        ModelError: not found, damaged, or pickled.
    """
    found = find_model(name)
    config = _reading(found, "model", lambda: _read_config(found, **settings))
    _refuse_pickles(found, name)
    with quiet_transformers():
        if Path(found).is_dir():
            _reading(found, "model", lambda: check_size(Path(found), kind, config))
        model, loading = _reading(
            found,
            "model",
            lambda: kind.from_pretrained(
                found,
                config=config,
                output_loading_info=True,
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,
                dtype="float32",
            ),
        )
    model.eval()
    mismatched = (key[0] if isinstance(key, tuple) else key for key in loading["mismatched_keys"])
    return model, Misfits(frozenset(loading["missing_keys"]), frozenset(mismatched))


def refuse_misfits(name: str, model: PreTrainedModel, misfits: Misfits, *, hint: str = "") -> None:
    """Raise a ModelError that names the parameters, and ends in ``hint``, unless there are none."""
    problems = [f"missing: {key}" for key in sorted(misfits.missing)] + [
        f"another shape: {key}" for key in sorted(misfits.mismatched)
    ]
    if problems:
        shown = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
        raise ModelError(
            f"the weights of {name} do not fit {model.config.model_type}: {shown}. "
            f"{hint}bertling never fills weights in at random in silence"
        )


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without transformers' table of missing weights and its bars: bertling says what there is to say."""
    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()


def _refuse_pickles(found: str, name: str) -> None:
    folder = Path(found)
    if folder.is_dir() and not list(folder.glob("*.safetensors")):
        pickles = sorted(
            path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(pattern)
        )
        held = (
            f"only {', '.join(pickles)}, pickle files that can run code when read"
            if pickles
            else "no weights"
        )
        raise ModelError(
            f"{name} holds {held}; bertling reads safetensors. Convert it where you trust it: "
            "AutoModel.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)"
        )


def _read_config(found: str, **settings: Any) -> Any:
    # False, not the default: that would ask, and run the folder's code where somebody types y.
    return AutoConfig.from_pretrained(found, trust_remote_code=False, **settings)


def _reading(found: str, what: str, read: Any) -> Any:
    try:
        return read()
    except ModelError:
        raise
    except BaseException as error:
        # Damaged or made-up files make a reader fail in any way; one written in Rust raises no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        local = Path(found).is_dir()
        where = (
            f"the folder {found}"
            if local
            else f"{found!r}: no such folder here, and not to be had from the hub"
        )
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"cannot read the {what} from {where} ({first_line})") from error
