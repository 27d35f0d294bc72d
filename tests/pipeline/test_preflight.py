"""What is found out before anything expensive: lengths, labels, weak teachers, disk, time."""

from __future__ import annotations

import math
import shutil
from collections import namedtuple
from pathlib import Path
from typing import cast

import pytest
import torch
from tests import tiny
from tests.pipeline import words

from bertling.cli import main
from bertling.errors import ModelError, RunFolderError
from bertling.models.teacher import load_classifier
from bertling.pipeline.estimate import planned_steps
from bertling.pipeline.preflight import validate_data
from bertling.recipe.training_sections import BaselineSection, GeneralSection
from bertling.results import Preflight, StageEstimate, TeacherCheck

NO_GENERAL = ("general=none", "intermediate=none", "baseline=none", "report=none")


@pytest.fixture(scope="module")
def found(finished: words.Run) -> Preflight:
    """What is found of the run of every stage, as if none of it were done."""
    return validate_data(finished.recipe)


def stage(found: Preflight, name: str) -> StageEstimate:
    return next(stage for stage in found.stages if stage.name == name)


def as_it_is(teacher: Path) -> tuple[str, ...]:
    return (*NO_GENERAL, f"teacher.model={teacher}", "teacher.fine_tune=false")


def write_relabelled(finished: words.Run, folder: Path, *names: str, turned: bool) -> Path:
    """The finished run's teacher, its outputs turned round or as they were, under these names."""
    source = finished.folder / "stages" / "teacher" / "model"
    model = load_classifier(str(source), label_names=["bad", "good"], new_head=False)
    if turned:
        head = model.get_submodule("classifier")
        with torch.no_grad():
            for parameter in head.parameters():
                parameter.copy_(parameter.flip(0))
    model.config.id2label = dict(enumerate(names))
    model.config.label2id = {name: place for place, name in enumerate(names)}
    model.save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


def test_steps_and_tokens_are_those_of_the_run(finished: words.Run, found: Preflight) -> None:
    histories = finished.results.histories
    estimated = {each.name: (each.steps, each.tokens) for each in found.stages if each.steps}
    assert estimated == {name: (points[-1].step, points[-1].tokens) for name, points in histories.items()}
    assert found.exact


def test_every_stage_of_the_run_that_takes_time_has_an_estimate(
    finished: words.Run, found: Preflight
) -> None:
    assert [each.name for each in found.stages] == words.STAGES[1:]
    assert all(each.seconds is not None and each.seconds > 0 for each in found.stages)


def test_what_stays_on_disk_is_about_as_much_as_lies_there(finished: words.Run, found: Preflight) -> None:
    uncached = [f"{name}.teacher_cache=never" for name in ("general", "intermediate", "prediction")]
    without = validate_data(words.read(finished.folder.parent, *uncached))
    for name, copies in (("teacher", 1), ("initialize", 1), ("general", 2), ("prediction", 2)):
        weights = finished.folder / "stages" / name / "model" / "model.safetensors"
        assert stage(without, name).disk_bytes == pytest.approx(copies * weights.stat().st_size, rel=0.25)
    # two passes: what the teacher shows is kept
    assert stage(found, "general").disk_bytes > stage(without, "general").disk_bytes


def test_checkpoints_are_model_and_two_moments_and_three_lie_there_at_once(finished: words.Run) -> None:
    saving = validate_data(finished.recipe.model_copy(update={"general": None}))
    one = stage(saving, "baseline")  # a checkpoint at the end, after 8 steps
    assert one.scratch_bytes == 3 * one.disk_bytes
    baseline = finished.recipe.baseline
    assert baseline is not None
    often = baseline.model_copy(update={"checkpoint_steps": 2})
    four = stage(validate_data(finished.recipe.model_copy(update={"baseline": often})), "baseline")
    assert four.scratch_bytes == 3 * 3 * four.disk_bytes


def test_lengths_are_those_before_texts_are_cut(found: Preflight) -> None:
    lengths = {each.name: each for each in found.lengths}
    made = {"train": words.texts(64, seed=1), "test": words.texts(24, seed=2)}
    for name, rows in made.items():
        tokens = sorted(len(text.split()) + 2 for text, _ in rows)
        assert lengths[name].all_rows == len(rows)
        assert lengths[name].longest_tokens == tokens[-1] == 10
        assert tokens[len(rows) // 2 - 1] <= lengths[name].median_tokens <= tokens[len(rows) // 2]
        assert lengths[name].truncated_fraction == sum(count > 8 for count in tokens) / len(rows)
    assert lengths["general"].truncated_fraction is None
    assert lengths["general"].all_rows == 48


@pytest.mark.parametrize(
    ("section", "processes", "expected"),
    [
        (BaselineSection(epochs=3, batch_size=32), 1, (12, 3000)),
        # 25 batches of 4, 9 steps in a pass; half of the last pass
        (BaselineSection(epochs=2.5, batch_size=4, accumulation_steps=3), 1, (23, 2556)),
        (BaselineSection(epochs=1, batch_size=4), 3, (9, 1000)),
        (BaselineSection(max_steps=100, batch_size=50), 1, (100, 50_000)),
        (GeneralSection(max_tokens=2500, batch_size=10), 1, (25, 2500)),
    ],
)
def test_planned_steps(
    section: BaselineSection | GeneralSection, processes: int, expected: tuple[int, int]
) -> None:
    assert planned_steps(section, 100, 1000, processes=processes) == expected


def test_parts_of_passes_and_accumulated_steps_are_counted_as_the_trainer_does(task: Path) -> None:
    settings = ("accumulation_steps=3", "batch_size=5", "epochs=1.5", "log_steps=1")
    recipe = words.read(task, *words.SMALL, *(f"prediction.{setting}" for setting in settings))
    points = words.run(recipe).results.histories["prediction"]
    planned = stage(validate_data(recipe), "prediction")
    assert planned.steps == points[-1].step == math.ceil(1.5 * 5)
    assert planned.tokens == pytest.approx(points[-1].tokens, rel=0.1)


def test_unlabelled_text_counts(task: Path) -> None:
    found = validate_data(words.read(task, "intermediate.unlabelled=true", "baseline=none"))
    unlabelled = next(each for each in found.lengths if each.name == "unlabelled")
    # pieces of at most 6 words
    assert unlabelled.all_rows == sum(math.ceil(len(text.split()) / 6) for text, _ in words.texts(48, seed=3))
    assert unlabelled.limit_tokens == 8
    assert stage(found, "intermediate").steps == 2 * math.ceil((64 + unlabelled.all_rows) / 16)


def test_a_teacher_of_another_label_order_has_the_same_score(finished: words.Run, tmp_path: Path) -> None:
    scores = []
    for names, turned in ((("bad", "good"), False), (("Good", "BAD"), True)):
        teacher = write_relabelled(finished, tmp_path / names[0], *names, turned=turned)
        found = validate_data(words.read(finished.folder.parent, *as_it_is(teacher)))
        assert found.refusals == []
        assert found.outputs == list(names)
        assert found.classes == ["bad", "good"]
        scores.append(cast(TeacherCheck, found.teacher).score)
    assert scores[0] == scores[1] > 0.8


def test_a_teacher_whose_names_are_the_wrong_way_round_is_refused_before_the_corpus_is_read(
    finished: words.Run, task: Path
) -> None:
    teacher = write_relabelled(finished, task / "wrong", "good", "bad", turned=False)
    recipe = words.read(task, f"teacher.model={teacher}", "teacher.fine_tune=false")
    with pytest.raises(ModelError, match=r"nothing to teach: its accuracy on 64 .*label names are right"):
        words.run(recipe)
    assert {path.name for path in (task / "run" / "stages").iterdir()} == {"data", "teacher"}
    [refusal] = validate_data(recipe).refusals
    assert "set teacher.accept_weak = true" in refusal


def test_a_teacher_that_learned_nothing_is_refused_and_can_be_accepted(task: Path) -> None:
    rate = ("teacher.learning_rate=1e-12", "teacher.epochs=1", "teacher.accept_weak=false")
    for _ in range(2):  # and again without a second training
        with pytest.raises(ModelError, match=r"at most 5% would pass\)\. Train it longer"):
            words.run(words.read(task, *words.SMALL, *rate))
    run = words.run(words.read(task, *words.SMALL, *rate[:2]))
    assert run.skipped == ["data", "teacher"]
    assert "prediction" in run.ran


Usage = namedtuple("Usage", ["total", "used", "free"])


@pytest.mark.faults
def test_a_disk_without_room_is_refused_before_anything_is_trained(
    task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = words.read(task, *words.SMALL)
    needed = validate_data(recipe).needed_bytes
    assert needed > 0
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(needed, 1, needed - 1))
    with pytest.raises(
        RunFolderError, match=r"the run needs about 0\.\d+ MB in .*run, and 0\.\d+ MB are free"
    ):
        words.run(recipe)
    assert {path.name for path in (task / "run" / "stages").iterdir()} == {"data"}
    assert len(validate_data(recipe).refusals) == 1
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(needed, 0, needed))
    words.run(recipe)


def test_a_run_shows_its_estimate_once_and_not_for_stages_that_are_done(task: Path) -> None:
    first = words.run(words.read(task, *words.SMALL))
    assert first.printed.count("estimate") == 1
    assert "estimate" not in words.run(words.read(task, *words.SMALL)).printed
    others = [override for override in words.SMALL if not override.startswith("baseline")]
    table = words.run(words.read(task, *others)).printed.partition("estimate")[2].partition("all")[0]
    assert [line.split()[0] for line in table.splitlines()[2:] if line.strip()] == ["baseline"]


def test_validate_with_data_prints_what_it_finds_and_leaves_the_run_folder_alone(
    finished: words.Run, task: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = write_relabelled(finished, task / "turned", "good", "bad", turned=True)
    capsys.readouterr()
    settings = [part for setting in as_it_is(teacher) for part in ("--set", setting)]
    assert main(["validate", str(task / "recipe.toml"), "--data", *settings]) == 0
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines()]
    assert ["train", "64", "7", "10", "10", "8", "31.2%"] in lines
    assert "labels      bad, good\n            the teacher's own are good, bad: matched by name\n" in out
    assert "vocabulary  200 entries" in out
    assert "on 64 training examples; one answer for all of them 57.8" in out
    assert ["prediction", "8", "850"] in [line[:3] for line in lines]
    assert lines[-1] == ["ok"]
    assert not (task / "run").exists()


def test_validate_with_data_names_every_refusal_and_fails(
    finished: words.Run, task: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = write_relabelled(finished, task / "unnamed", "LABEL_0", "LABEL_1", turned=False)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1, 1, 0))
    capsys.readouterr()
    settings = [part for setting in as_it_is(teacher) for part in ("--set", setting)]
    assert main(["validate", str(task / "recipe.toml"), "--data", *settings]) == 2
    captured = capsys.readouterr()
    assert "words: 2 problems" in captured.err
    assert "its outputs have no names" in captured.err
    assert "0.00 MB are free" in captured.err
    assert "estimate" in captured.out
    assert "ok" not in captured.out.split()
    named = [*settings, "--set", "teacher.labels=['bad', 'good']"]
    monkeypatch.undo()
    assert main(["validate", str(task / "recipe.toml"), "--data", *named]) == 0
