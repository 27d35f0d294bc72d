"""Several GLUE tasks in one go: one general student, both of MNLI's sets, the paper's average, going on."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from tests.pipeline import glue_data, words

from bertling.cli import main
from bertling.errors import RecipeError
from bertling.pipeline.context import Context
from bertling.pipeline.glue import glue_average, run_glue
from bertling.pipeline.judging import evaluate_model
from bertling.pipeline.preparation import prepare_data
from bertling.pipeline.processes import Processes
from bertling.recipe.glue import glue_recipes
from bertling.recipe.load import load_recipe
from bertling.results import ModelResult, read_results
from bertling.results_across_runs import GlueResults
from bertling.tasks import AVERAGED, GLUE, GLUE_LAYOUTS

# Table 1 of Jiao et al. 2020, the rows of BERT-base (teacher) and of TinyBERT with 4 layers.
TEACHER = dict(zip(AVERAGED, (83.9, 83.4, 71.1, 93.4, 90.9, 87.5, 67.0, 52.8, 85.2), strict=True))
STUDENT = dict(zip(AVERAGED, (82.5, 81.8, 71.3, 92.6, 87.7, 86.4, 66.6, 44.1, 80.4), strict=True))


def models(scores: dict[str, float]) -> dict[str, ModelResult]:
    further = {"mismatched": scores["mnli (mismatched)"] / 100}
    return {
        task: ModelResult(
            score=score / 100, metric=GLUE[task].metric, further_sets=further if task == "mnli" else {}
        )
        for task, score in scores.items()
        if task in GLUE
    }


def budget(folder: Path) -> list[str]:
    """What makes the shipped recipes tiny, for all tasks."""
    return [
        f"teacher.model={folder / 'teacher'}",
        "teacher.max_steps=2",
        "teacher.accept_weak=true",
        "student.preset=none",
        *("student.layers=2", "student.width=16", "student.heads=4", "student.ffn=24"),
        "general.corpus_hub=none",
        f"general.corpus={folder / 'corpus.txt'}",
        "general.max_steps=2",
        "general.max_length_tokens=12",
        "augment=none",
        "intermediate=none",
        "prediction.max_steps=2",
        "evaluate.latency_texts=2",
        "report=none",
        "threads=1",
    ]


@pytest.fixture
def glue(tmp_path: Path) -> Path:
    """Teacher, corpus and ``data/`` with CoLA, single texts, and MNLI, pairs."""
    words.write_teacher(tmp_path / "teacher", max_position_embeddings=128)
    (tmp_path / "corpus.txt").write_text("".join(f"{text}\n" for text, _ in words.texts(24, seed=3)))
    for task in ("cola", "mnli"):
        glue_data.write_labelled(tmp_path / "data", task)
    return tmp_path


def test_the_average_is_the_paper_s() -> None:
    for scores, published in ((TEACHER, 79.5), (STUDENT, 77.0)):
        names, average = glue_average(models(scores))
        assert names == list(AVERAGED)
        assert average is not None
        assert round(100 * average, 1) == published


def test_wnli_counts_in_no_average_and_others_are_averaged_as_far_as_they_are_there() -> None:
    wnli = {"wnli": ModelResult(score=0.9, metric="accuracy")}
    assert glue_average(wnli) == ([], None)
    mnli = ModelResult(score=0.5, metric="accuracy", further_sets={"mismatched": 0.4})
    names, average = glue_average({**wnli, "rte": ModelResult(score=0.6, metric="accuracy"), "mnli": mnli})
    assert names == ["mnli", "mnli (mismatched)", "rte"]
    assert average == pytest.approx(0.5)


def test_tasks_run_with_one_general_student_and_go_on(glue: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = glue / "out"
    recipes = glue_recipes(["cola", "mnli"], str(glue / "data"), root=root, overrides=budget(glue))
    printed = io.StringIO()
    results = run_glue(recipes, root, console=Console(file=printed, width=200))
    lines = [" ".join(line.split()) for line in printed.getvalue().splitlines()]
    second = lines[lines.index("mnli") :]
    for stage in ("corpus", "initialize", "general"):
        assert f"{stage} taken from another run" in second
        assert f"{stage} starts" not in second
    assert [row.task for row in results.rows] == ["cola", "mnli"]
    assert results.averaged == ["mnli", "mnli (mismatched)", "cola"]
    mnli = results.rows[1]
    assert mnli.student == read_results(root / "mnli" / "results.json").student
    assert set(mnli.teacher.further_sets) == set(mnli.student.further_sets) == {"mismatched"}
    numbers = [row.student.score for row in results.rows] + [mnli.student.further_sets["mismatched"]]
    assert results.student_average == pytest.approx(sum(numbers) / 3)
    assert GlueResults.model_validate_json((root / "glue.json").read_text()) == results

    # As after a kill: the second task's last stages are gone.
    for left in ("results.json", "stages/evaluate/stage.json"):
        (root / "mnli" / left).unlink()
    arguments = ["glue", "--tasks", "cola", "mnli", "--data", str(glue / "data"), "--output", str(root)]
    assert main([*arguments, *(part for one in budget(glue) for part in ("--set", one))]) == 0
    out = capsys.readouterr().out
    started = [line.split()[0] for line in out.splitlines() if line.endswith(" starts")]
    assert started == ["evaluate"]
    assert "average without qqp, sst2, qnli, mrpc, rte, stsb" in " ".join(out.split())
    assert "mismatched" in out.split()
    again = GlueResults.model_validate_json((root / "glue.json").read_text())
    assert [row.student.score for row in again.rows] == [row.student.score for row in results.rows]


def test_both_of_mnli_s_sets_come_from_a_hub_too(glue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets", reason="the extra hub is not installed")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", glue / "cache")
    hub = glue / "hub" / "data"
    hub.mkdir(parents=True)
    labels = {"train": [0, 1, 2], "validation_matched": [1, 1], "validation_mismatched": [2]}
    names = {"names": list(GLUE["mnli"].labels or {}), "_type": "ClassLabel"}
    text = {"dtype": "string", "_type": "Value"}
    features = {"premise": text, "hypothesis": text, "label": names}
    for split, values in labels.items():
        texts = [f"w{row}" for row, _ in enumerate(values)]
        table = pa.table({"premise": texts, "hypothesis": texts, "label": values})
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        pq.write_table(table, hub / f"{split}-00000-of-00001.parquet")
    place = ["data.folder=none", f"data.hub={glue / 'hub'}", f"output={glue / 'run'}"]
    recipe = load_recipe("glue/mnli", [*budget(glue), *place])
    context = Context(recipe, recipe.folder, Console(quiet=True), Processes())
    prepare_data(context)
    assert (context.train.labels, context.test.labels) == ([0, 1, 2], [1, 1])
    assert {name: examples.labels for name, examples in context.further_tests.items()} == {"mismatched": [2]}


def test_mnli_s_sets_are_scored_each_by_its_own(glue: Path) -> None:
    """The mismatched labels are turned round, so that what is right on one set is wrong on the other."""
    folder = glue / "data" / "MNLI"
    turned = (folder / "dev_matched.tsv").read_text().splitlines()
    order = {"entailment": "neutral", "neutral": "contradiction", "contradiction": "entailment"}
    rows = ["\t".join((*line.split("\t")[:-1], order[line.split("\t")[-1]])) for line in turned[1:]]
    (folder / "dev_mismatched.tsv").write_text("\n".join([turned[0], *rows]) + "\n")
    model = glue_data.write_model(glue / "model", names=list(GLUE["mnli"].labels or {}))
    matched, mismatched = evaluate_model(model, folder, GLUE["mnli"]).sets
    assert (matched.name, mismatched.name) == ("dev", "mismatched")
    assert matched.figures["accuracy"] + mismatched.figures["accuracy"] <= 1
    assert matched.figures != mismatched.figures


@pytest.mark.parametrize("task", GLUE)
def test_a_shipped_recipe_has_the_paper_s_settings(task: str, tmp_path: Path) -> None:
    (recipe,) = glue_recipes([task], str(tmp_path)).values()
    assert recipe.folder == Path("runs/glue") / task
    assert recipe.data.folder == tmp_path / GLUE_LAYOUTS[task].folder
    assert (recipe.task.name, recipe.student.preset) == (task, "tinybert-4l-312")
    assert recipe.data.max_length_tokens == (64 if GLUE[task].text_pair is None else 128)
    general, augment, intermediate = recipe.general, recipe.augment, recipe.intermediate
    assert general is not None
    assert augment is not None
    assert intermediate is not None
    assert (general.epochs, general.batch_size, general.max_length_tokens) == (3, 256, 128)
    assert (augment.probability, augment.variants, augment.candidates) == (0.4, 20, 15)
    epochs = {"mnli": 10, "qqp": 10, "qnli": 10, "cola": 50}.get(task, 20)
    assert (intermediate.epochs, intermediate.batch_size, intermediate.learning_rate) == (epochs, 32, 5e-5)
    assert (recipe.prediction.epochs, recipe.prediction.batch_size) == (3, 32)
    assert recipe.prediction.temperature == 1
    if GLUE_LAYOUTS[task].further_hub_devs:
        assert recipe.data.test_split == GLUE_LAYOUTS[task].hub_dev


def test_what_cannot_be_run_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        glue_recipes(["cola", "sst-2"], str(tmp_path / "none"), overrides=["data.folder=x", "task.name=y"])
    text = str(caught.value)
    assert "4 problems" in text
    assert "did you mean sst2?" in text
    assert "'data.folder=x': data, task and output are arguments" in text
    assert f"no folder {tmp_path / 'none'}" in text
    with pytest.raises(RecipeError, match="got cola, cola; expected different ones"):
        glue_recipes(["cola", "cola"], str(tmp_path))


def test_a_name_on_the_hub_stands_for_the_config_of_each_task() -> None:
    recipe = glue_recipes(["mnli"], "nyu-mll/glue")["mnli"]
    assert (recipe.data.hub, recipe.data.folder) == ("nyu-mll/glue:mnli", None)


def test_missing_inputs_of_all_tasks_are_named_before_the_first_runs(
    glue: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = (part for one in budget(glue) for part in ("--set", one))
    assert main(["glue", "--tasks", "cola", "rte", "qqp", "--data", str(glue / "data"), *settings]) == 2
    captured = capsys.readouterr()
    assert "2 problems" in captured.err
    assert str(glue / "data" / "RTE") in captured.err
    assert str(glue / "data" / "QQP") in captured.err
    assert captured.out == ""
