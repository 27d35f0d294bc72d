"""Other tasks, sources, architectures and starts; each run ends with a student that users can load."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from scipy.stats import spearmanr
from tests.pipeline import words
from transformers import AutoModelForSequenceClassification, AutoTokenizer


def outputs(run: words.Run, texts: list[str], pairs: list[str] | None = None) -> torch.Tensor:
    """Logits of the published student, (N, C), from transformers alone."""
    model = AutoModelForSequenceClassification.from_pretrained(run.folder / "student").eval()
    tokenizer = AutoTokenizer.from_pretrained(run.folder / "student")
    rows = []
    for number, text in enumerate(texts):
        pair = pairs[number] if pairs else None
        with torch.inference_mode():
            inputs = tokenizer(text, pair, return_tensors="pt", truncation=True, max_length=8)
            rows.append(model(**inputs).logits[0])
    return torch.stack(rows)


def test_regression_from_csv_with_a_student_that_starts_at_random(task: Path) -> None:
    number = {"good": 2.5, "bad": -1.0}
    for name, count, seed in (("train", 64, 1), ("test", 24, 2)):
        with (task / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["score", "sentence"])
            for text, label in words.texts(count, seed=seed):
                writer.writerow([number[label] + len(text) / 100, text])
    run = words.run(
        words.read(
            task,
            *words.SMALL,
            f"data.train={task / 'train.csv'}",
            f"data.test={task / 'test.csv'}",
            "task.text=sentence",
            "task.label=score",
            "task.regression=true",
            "teacher.epochs=20",
            "teacher.learning_rate=5e-3",
            "student.initialization=random",
            "evaluate.yardsticks=['majority', 'tfidf']",
            "report={}",
        )
    )
    texts = words.texts(24, seed=2)
    predicted = outputs(run, [text for text, _ in texts])
    assert predicted.shape == (24, 1)
    expected = spearmanr(
        predicted[:, 0], [number[label] + len(text) / 100 for text, label in texts]
    ).statistic
    assert run.results.student.metric == "spearman"
    assert run.results.student.score == pytest.approx(expected, abs=1e-6)
    assert run.results.data.label_names is None
    assert run.results.initialization == "random"
    assert run.results.teacher is not None
    assert run.results.teacher.score > 0.3
    assert run.results.score_retention == pytest.approx(expected / run.results.teacher.score, abs=1e-6)
    assert (run.folder / "report.html").exists()


def test_pairs_from_jsonl_with_a_roberta_teacher_whose_layers_are_copied(task: Path) -> None:
    words.write_teacher(task / "teacher", "roberta")
    for name, count, seed in (("train", 32, 1), ("test", 12, 2)):
        examples = zip(words.texts(count, seed=seed), words.texts(count, seed=seed + 10), strict=True)
        rows = [
            {"premise": first, "hypothesis": second, "label": "same" if ours == theirs else "different"}
            for (first, ours), (second, theirs) in examples
        ]
        words.write_jsonl(task / f"{name}.jsonl", rows)
    run = words.run(
        words.read(
            task,
            *words.SMALL,
            f"data.train={task / 'train.jsonl'}",
            f"data.test={task / 'test.jsonl'}",
            "task.text=premise",
            "task.text_pair=hypothesis",
            "task.labels=['same', 'different']",
            "student.initialization=layers",
            "student.width=32",
            "student.ffn=48",
            "student.source_layers=[2, 4]",
            "baseline.epochs=1",
        )
    )
    firsts, seconds = words.texts(12, seed=2), words.texts(12, seed=12)
    logits = outputs(run, [text for text, _ in firsts], [text for text, _ in seconds])
    same = [ours == theirs for (_, ours), (_, theirs) in zip(firsts, seconds, strict=True)]
    right = sum((chosen == 0) == truth for chosen, truth in zip(logits.argmax(1).tolist(), same, strict=True))
    assert run.results.student.score == pytest.approx(right / 12)
    assert run.results.data.label_names == ["same", "different"]
    stages = run.folder / "stages"
    names = [stages / stage / "model" for stage in ("teacher", "initialize")]
    teacher, student = (AutoModelForSequenceClassification.from_pretrained(name) for name in names)
    copied = student.roberta.encoder.layer[1].output.dense.weight
    torch.testing.assert_close(copied, teacher.roberta.encoder.layer[3].output.dense.weight, rtol=0, atol=0)


def test_three_classes_from_parquet_with_a_distilbert_teacher(task: Path) -> None:
    words.write_teacher(task / "teacher", "distilbert")
    for name, count, seed in (("train", 32, 1), ("test", 12, 2)):
        texts = [text for text, _ in words.texts(count, seed=seed)]
        labels = [len(text.split()) % 3 for text in texts]
        pq.write_table(pa.table({"text": texts, "label": labels}), task / f"{name}.parquet")
    run = words.run(
        words.read(
            task,
            *words.SMALL,
            f"data.train={task / 'train.parquet'}",
            f"data.test={task / 'test.parquet'}",
            "task.labels=['2', '0', '1']",
            "intermediate.epochs=1",
            "intermediate.batch_size=16",
            "data.train_examples=30",
        )
    )
    texts = [text for text, _ in words.texts(12, seed=2)]
    chosen = outputs(run, texts).argmax(1).tolist()
    right = sum(
        ["2", "0", "1"][index] == str(len(text.split()) % 3)
        for index, text in zip(chosen, texts, strict=True)
    )
    assert run.results.student.score == pytest.approx(right / 12)
    assert run.results.data.train_examples == 30
    assert set(run.results.histories) == {"teacher", "intermediate", "prediction"}
    model = AutoModelForSequenceClassification.from_pretrained(run.folder / "student")
    assert model.config.model_type == "distilbert"
    assert model.config.id2label == {0: "2", 1: "0", 2: "1"}


def test_a_glue_folder(task: Path) -> None:
    folder = task / "SST-2"
    folder.mkdir()
    for name, count, seed in (("train", 32, 1), ("dev", 12, 2)):
        rows = [(f'{text} "', int(label == "good")) for text, label in words.texts(count, seed=seed)]
        words.write_tsv(folder / f"{name}.tsv", rows, ["sentence", "label"])
    run = words.run(
        words.read(
            task,
            *words.SMALL,
            "data.train=none",
            "data.test=none",
            f"data.folder={folder}",
            "task.name=sst2",
            "task.labels=none",
        )
    )
    data = run.results.data
    assert (run.results.task, data.train_examples, data.evaluation_examples) == ("sst2", 32, 12)
    assert data.label_names == ["negative", "positive"]
    card = (run.folder / "student" / "README.md").read_text()
    assert f"12 examples of\nthe development set in {folder}," in card


def test_a_student_that_exists_already(task: Path, finished: words.Run) -> None:
    shape = [f"student.{key}=none" for key in ("layers", "width", "heads", "ffn")]
    student = finished.folder / "student"
    run = words.run(words.read(task, *words.SMALL, *shape, f"student.model={student}"))
    assert run.results.student.layers == 2
    assert run.results.initialization == str(student)
    names = "bert.encoder.layer.0.output.dense.weight"
    before, after = (
        AutoModelForSequenceClassification.from_pretrained(folder).state_dict()
        for folder in (student, run.folder / "stages" / "initialize" / "model")
    )
    torch.testing.assert_close(after[names], before[names], rtol=0, atol=0)


def test_a_trained_student_is_made_smaller_and_keeps_its_head(task: Path, finished: words.Run) -> None:
    student = finished.folder / "student"
    sizes = [*(f"student.{key}=none" for key in ("layers", "width", "heads")), "student.ffn=12"]
    run = words.run(words.read(task, *words.SMALL, *sizes, f"student.model={student}"))
    assert run.results.initialization == f"{student}, made smaller by prune"
    before, cut, after = (
        AutoModelForSequenceClassification.from_pretrained(folder).state_dict()
        for folder in (student, run.folder / "stages" / "initialize" / "model", run.folder / "student")
    )
    name = "bert.encoder.layer.1.intermediate.dense.weight"
    assert (len(before[name]), len(cut[name]), len(after[name])) == (24, 12, 12)
    assert {*map(tuple, cut[name].tolist())} < {*map(tuple, before[name].tolist())}
    head = "classifier.weight"
    torch.testing.assert_close(cut[head], before[head], rtol=0, atol=0)
    assert not torch.equal(after[head], before[head])


def test_a_teacher_that_is_fine_tuned_already_is_taken_as_it_is(task: Path, finished: words.Run) -> None:
    teacher = finished.folder / "stages" / "teacher" / "model"
    run = words.run(words.read(task, *words.SMALL, f"teacher.model={teacher}", "teacher.fine_tune=false"))
    taken = run.folder / "stages" / "teacher" / "model" / "model.safetensors"
    assert taken.read_bytes() == (teacher / "model.safetensors").read_bytes()
    assert run.results.teacher
    assert finished.results.teacher
    assert run.results.teacher.score == finished.results.teacher.score
    assert "teacher" not in run.results.histories


def test_without_general_stage_the_student_brings_the_fine_tuned_teachers_head(task: Path) -> None:
    run = words.run(words.read(task, *words.SMALL))
    folder = run.folder / "stages" / "initialize" / "model"
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    assert model.config.architectures == ["BertForSequenceClassification"]
    assert model.config.id2label == {0: "bad", 1: "good"}


@pytest.mark.parametrize("stage", ["general", "intermediate"])
def test_either_of_the_stages_before_prediction_may_stand_alone(task: Path, stage: str) -> None:
    others = [override for override in words.SMALL if not override.startswith(stage)]
    run = words.run(words.read(task, *others, f"{stage}.epochs=1"))
    assert list(run.results.histories) == ["teacher", stage, "prediction"]
    assert run.results.histories[stage][-1].terms


def test_trackers_write_where_their_logs_outlive_the_stage(task: Path) -> None:
    pytest.importorskip("tensorboard")
    run = words.run(words.read(task, *words.SMALL, "report_to=['tensorboard']"))
    logs = {
        path.parent.relative_to(run.folder).as_posix() for path in run.folder.rglob("events.out.tfevents*")
    }
    assert logs == {"logs/teacher", "logs/prediction"}


def test_a_student_with_other_label_names_learns_the_tasks(task: Path, finished: words.Run) -> None:
    """An existing student gives its encoder; its head belongs to another task."""
    for name, count, seed in (("train", 64, 1), ("test", 24, 2)):
        rows = [(text, f"very {label}") for text, label in words.texts(count, seed=seed)]
        words.write_tsv(task / f"{name}.tsv", rows)
    shape = [f"student.{key}=none" for key in ("layers", "width", "heads", "ffn")]
    run = words.run(words.read(task, *words.SMALL, *shape, f"student.model={finished.folder / 'student'}"))
    assert "has no head for this task's labels: one starts at random" in run.printed
    model = AutoModelForSequenceClassification.from_pretrained(run.folder / "student")
    assert model.config.id2label == {0: "very bad", 1: "very good"}


def test_a_student_of_another_architecture_learns_from_pairs_too(task: Path) -> None:
    """One that knows no segments reads the same tokens as a teacher that does."""
    for name, count, seed in (("train", 32, 1), ("test", 12, 2)):
        rows = [(text, text, label) for text, label in words.texts(count, seed=seed)]
        words.write_tsv(task / f"{name}.tsv", rows, ["text", "again", "label"])
    words.write_teacher(task / "student", "distilbert")
    shape = [f"student.{key}=none" for key in ("layers", "width", "heads", "ffn")]
    run = words.run(
        words.read(task, *words.SMALL, *shape, f"student.model={task / 'student'}", "task.text_pair=again")
    )
    model = AutoModelForSequenceClassification.from_pretrained(run.folder / "student")
    assert model.config.model_type == "distilbert"
