"""The models that inference.py serves: a run's, and random ones of BERT-base's and TinyBERT's shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from transformers import BertConfig, BertForSequenceClassification, PreTrainedModel, set_seed

from answering import Logits
from bertling import export, load_classifier, load_recipe, load_tokenizer, trim
from bertling.data.examples import Examples
from bertling.data.tokenized_examples import tokenize_examples
from bertling.evaluation.scores import predict_logits
from bertling.exporting.write import write_export
from bertling.pipeline.context import task_of
from bertling.results import Environment
from bertling.results_of_exports import Precision
from bertling.tasks import Task

PADDED_TOKENS = 128


class Family(NamedTuple):
    """Models that are compared with each other.

    Attributes:
        name: of the family.
        models: name -> folder, as transformers saves it or as `bertling export` does.
        task: that they answer.
        examples: with the texts that they are asked.
        length: longer texts are cut.
        scored: whether the weights mean anything.
    """

    name: str
    models: Mapping[str, Path]
    task: Task
    examples: Examples
    length: int
    scored: bool


def run_family(run: Path, pruned: Path | None, work: Path, *, most: int) -> Family:
    """A run's teacher and student, and the student's exports; the pruned student's, trimmed as well."""
    recipe = load_recipe(run / "recipe.toml")
    task = task_of(recipe)
    examples = Examples.load(run / "stages" / "data" / "test.parquet").draw(most, seed=0)
    if task.word_labels or task.multi_label or examples.text_pairs is not None or not examples.label_names:
        raise SystemExit(
            f"{run}: its task is not to tell the class of a text, and the ladder is of such runs"
        )
    exports = work / recipe.name / "export"
    # Whatever int8 loses: the row says so.
    export(run, output=exports, precisions=("float32", "int8"), max_drop=0.99)
    models = {"teacher": run / "stages" / "teacher" / "model", "student": run / "student"}
    models |= {precision: exports / precision for precision in ("float32", "int8")}
    lightest = pruned or run
    trim(lightest)
    lighter = {"trimmed": lightest / "trimmed"} | ({"pruned": pruned} if pruned else {})
    for name, source in lighter.items():
        output = work / recipe.name / name
        export(source, output=output, precisions=("int8",), max_drop=0.99)
        models[name] = output / "int8"
    return Family(recipe.name, models, task, examples, recipe.data.max_length_tokens, scored=True)


def random_family(
    like: Family, train: Sequence[str], work: Path, tokenizer_name: str, environment: Environment
) -> Family:
    """BERT-base's shape and TinyBERT's, asked what another family is asked."""
    folder = work / "bert-base"
    tokenizer = load_tokenizer(tokenizer_name)
    set_seed(0)
    names = dict(enumerate(like.examples.label_names or []))
    settings: dict[str, Any] = {"vocab_size": len(tokenizer), "id2label": names}
    of_student = {**settings, "hidden_size": 312, "num_hidden_layers": 4}
    made = {
        "teacher": BertConfig(**settings),
        "student": BertConfig(**of_student, intermediate_size=1200),
        "pruned": BertConfig(**of_student, intermediate_size=800),
    }
    models = {name: folder / name for name in made}
    for name, config in made.items():
        BertForSequenceClassification(config).save_pretrained(models[name])
        tokenizer.save_pretrained(models[name])
    texts = folder / "train.txt"
    texts.write_text("\n".join(" ".join(text.split()) for text in train) + "\n", encoding="utf-8")
    models["trimmed"] = folder / "trimmed"
    trim(models["pruned"], texts=[texts], output=models["trimmed"])
    exported: dict[str, Sequence[Precision]] = {
        "student": ("float32", "int8"),
        "pruned": ("int8",),
        "trimmed": ("int8",),
    }
    for name, precisions in exported.items():
        _export_random(models[name], folder / f"export-{name}", precisions, like, environment)
    models |= {precision: folder / "export-student" / precision for precision in ("float32", "int8")}
    models |= {name: folder / f"export-{name}" / "int8" for name in ("pruned", "trimmed")}
    return Family("bert-base", models, like.task, like.examples, PADDED_TOKENS, scored=False)


def _export_random(
    model: Path, output: Path, precisions: Sequence[Precision], like: Family, environment: Environment
) -> None:
    tokenizer = load_tokenizer(str(model))
    tokens = tokenize_examples(tokenizer, like.examples, max_length_tokens=PADDED_TOKENS)

    def logits_of(classifier: PreTrainedModel) -> Logits:
        return predict_logits(classifier, tokenizer, tokens, batch_size=32)

    write_export(
        load_classifier(str(model), label_names=like.examples.label_names, new_head=False).eval(),
        tokenizer,
        output,
        task=like.task,
        examples=like.examples,
        logits_of=logits_of,
        score_of=lambda logits: 0.0,  # what random weights answer is neither right nor wrong
        environment=environment,
        max_length_tokens=PADDED_TOKENS,
        precisions=precisions,
    )
