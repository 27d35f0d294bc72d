"""What users get wrong: exit code 2, one message that says what to do, and nothing that was done is lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from tests import tiny
from tests.pipeline import words
from transformers import AutoConfig, AutoModel, BertTokenizer

from bertling.cli import main

pytestmark = pytest.mark.faults

NO_SHAPE = tuple(f"student.{key}=none" for key in ("layers", "width", "heads", "ffn"))


@dataclass(frozen=True)
class CommandLine:
    """``bertling run`` on the task's recipe without the stages that take long."""

    task: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, *overrides: str) -> tuple[int, str]:
        """Exit code, and what stands on stderr on one line."""
        settings = [part for override in (*words.SMALL, *overrides) for part in ("--set", override)]
        code = main(["run", str(self.task / "recipe.toml"), *settings])
        return code, " ".join(self.capsys.readouterr().err.split())

    def refusal(self, *overrides: str) -> str:
        code, message = self.run(*overrides)
        assert code == 2
        assert "Traceback" not in message
        return message

    @property
    def done(self) -> set[str]:
        """Stages that are finished."""
        stages = self.task / "run" / "stages"
        return {path.name for path in stages.glob("*") if path.suffix != ".partial"}


@pytest.fixture
def command_line(task: Path, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    capsys.readouterr()  # what making the teacher printed
    return CommandLine(task, capsys)


def append(name: str, text: str) -> Callable[[Path], None]:
    def change(task: Path) -> None:
        with (task / name).open("a", encoding="utf-8") as file:
            file.write(text)

    return change


def put(name: str, content: str | bytes) -> Callable[[Path], None]:
    def change(task: Path) -> None:
        (task / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (append("test.tsv", "w5\tugly\n"), "test.tsv: 1 line cannot be used - unknown label 'ugly': line 26"),
        (append("train.tsv", "\tgood\n  \tbad\n"), "'text' is empty: lines 66, 67"),
        (append("train.tsv", "w5\n"), "1 field: line 66 Expected 2 fields"),
        (put("train.tsv", "text\tlabel\n"), "train.tsv holds no examples"),
        (put("train.tsv", ""), "train.tsv is empty"),
        (put("train.tsv", "text\tlabel\nw1\tgood\nw2\tgood\n"), "single label 'good'"),
        (put("train.tsv", b"text\tlabel\nw1\xe9\tgood\nw2\tbad\n"), "not valid UTF-8: line 2"),
        (
            put("train.tsv", "text\tstars\nw1\tgood\nw2\tbad\n"),
            "no column 'label'; the columns are 'text', 'stars'",
        ),
    ],
)
def test_bad_data(command_line: CommandLine, change: Callable[[Path], None], expected: str) -> None:
    change(command_line.task)
    assert expected in command_line.refusal()
    assert command_line.done == set()


def test_a_label_that_the_task_does_not_name(command_line: CommandLine) -> None:
    message = command_line.refusal("task.labels=['good', 'fine']")
    assert "unknown label 'bad'" in message
    assert "one of 'good', 'fine'" in message


def test_classes_where_numbers_are_expected(command_line: CommandLine) -> None:
    assert "is not a number" in command_line.refusal("task.regression=true")


def test_files_that_are_not_there(command_line: CommandLine) -> None:
    message = command_line.refusal("data.train=gone.tsv", "general.corpus=gone.txt", "teacher.model=./gone")
    assert "words: 3 problems" in message
    assert message.count("gone") == 3
    assert not (command_line.task / "run").exists()


def without_weights(task: Path) -> None:
    (task / "teacher" / "model.safetensors").unlink()


def pickled(task: Path) -> None:
    without_weights(task)
    torch.save({}, task / "teacher" / "pytorch_model.bin")


def cut_off(task: Path) -> None:
    weights = task / "teacher" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def of_another_shape(task: Path) -> None:
    tiny.encoder(layers=4, width=64).save_pretrained(task / "other")
    shutil.copy(task / "other" / "model.safetensors", task / "teacher" / "model.safetensors")


def too_few_layers(task: Path) -> None:
    tiny.encoder(layers=2).save_pretrained(task / "other")
    shutil.copy(task / "other" / "model.safetensors", task / "teacher" / "model.safetensors")


def without_tokenizer(task: Path) -> None:
    for file in (task / "teacher").glob("tokenizer*"):
        file.unlink()


def without_model(task: Path) -> None:
    shutil.rmtree(task / "teacher")
    (task / "teacher").mkdir()


def too_few_embeddings(task: Path) -> None:
    tiny.encoder(layers=4, vocab_size=100).save_pretrained(task / "teacher")


def of_no_supported_architecture(task: Path) -> None:
    config = AutoConfig.for_model(
        "mpnet",
        vocab_size=200,
        hidden_size=32,
        num_attention_heads=4,
        intermediate_size=32,
    )
    AutoModel.from_config(config).save_pretrained(task / "teacher")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (without_model, "config.json"),
        (without_weights, "holds no weights"),
        (pickled, "holds only pytorch_model.bin, pickle files that can run code"),
        (cut_off, "cannot read the model"),
        (of_another_shape, "do not fit bert: another shape: "),
        (too_few_layers, "do not fit bert: missing: "),
        (without_tokenizer, "no tokenizer (tokenizer.json)"),
        (too_few_embeddings, "tokenizer knows 200 tokens"),
        (of_no_supported_architecture, "'mpnet' is not supported; expected one of bert, "),
    ],
)
def test_a_teacher_that_cannot_be_used(
    command_line: CommandLine, change: Callable[[Path], None], expected: str
) -> None:
    change(command_line.task)
    message = command_line.refusal()
    assert expected in message
    assert command_line.done == set()


def test_a_teacher_that_was_said_to_be_fine_tuned_and_is_not(command_line: CommandLine) -> None:
    message = command_line.refusal("teacher.fine_tune=false")
    assert "missing: classifier.weight" in message
    assert "set teacher.fine_tune = true" in message


def test_a_student_that_is_to_be_made_larger(command_line: CommandLine) -> None:
    student = command_line.task / "student"
    tiny.encoder().save_pretrained(student)
    tiny.tokenizer().save_pretrained(student)
    message = command_line.refusal(*NO_SHAPE, f"student.model={student}", "student.ffn=49")
    assert f"{student}, called the teacher here, cannot be made smaller that way" in message
    assert "the student's ffn is 49, the teacher's only 48" in message
    assert command_line.done == set()


@pytest.mark.parametrize("names", [["negative", "positive"], ["LABEL_0", "LABEL_1"]])
def test_a_fine_tuned_teacher_whose_label_names_are_others(
    command_line: CommandLine, names: list[str]
) -> None:
    id2label = dict(enumerate(names))
    teacher = tiny.classifier(layers=4, id2label=id2label, label2id={name: n for n, name in id2label.items()})
    teacher.save_pretrained(command_line.task / "teacher")
    message = command_line.refusal("teacher.fine_tune=false")
    assert f"{names} are not the task's ['bad', 'good']" in message
    assert command_line.done == {"data"}


def test_a_student_with_another_vocabulary(command_line: CommandLine) -> None:
    student = command_line.task / "student"
    tiny.encoder().save_pretrained(student)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"]
    BertTokenizer(vocab={token: n for n, token in enumerate(vocabulary)}).save_pretrained(student)
    message = command_line.refusal(*NO_SHAPE, f"student.model={student}")
    assert "different vocabularies (200 and 7 entries" in message
    assert command_line.done == set()


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ["student.layer_map=[1, 9]"],
            "layer map [1, 9] does not fit: expected 2 teacher layers from 1 to 4",
        ),
        (["data.max_length_tokens=49"], "[data] max_length_tokens: got 49;"),
        (
            ["general.corpus={task}/corpus.txt", "general.max_length_tokens=49"],
            "[general] max_length_tokens: got 49;",
        ),
        (["report_to=['scribe']"], "report_to: got 'scribe'; the trackers installed here: "),
        (["student.source_layers=[1, 9]"], "source_layers [1, 9] do not fit"),
        (["student.layers=6"], "a student of 6 layers cannot be made from a teacher of 4"),
        (["student.initialization=layers"], "the student must be as wide as the teacher"),
        (["method=pkd", "student.layers=1"], "[prediction] terms: patient_states compares the layers below"),
    ],
)
def test_what_would_fail_late_is_found_before_anything_is_trained(
    command_line: CommandLine, overrides: list[str], expected: str
) -> None:
    task = command_line.task
    assert expected in command_line.refusal(*(override.format(task=task) for override in overrides))
    assert command_line.done == set()


def test_a_roberta_teacher_has_fewer_positions_than_its_table_has_rows(command_line: CommandLine) -> None:
    words.write_teacher(command_line.task / "teacher", "roberta", pad_token_id=0)
    message = command_line.refusal("data.max_length_tokens=48")
    assert "has positions for 47 tokens" in message


@pytest.mark.parametrize(
    ("stage", "kept"),
    [
        ("teacher", {"data"}),
        ("intermediate", {"data", "teacher", "initialize"}),
        ("prediction", {"data", "teacher", "initialize"}),
    ],
)
def test_a_loss_that_is_not_finite_names_its_stage_and_step(
    command_line: CommandLine, stage: str, kept: set[str]
) -> None:
    wild = (f"{stage}.learning_rate=1e30", f"{stage}.epochs=5", f"{stage}.batch_size=16")
    message = command_line.refusal(*wild)
    assert f"stage {stage}: the loss is not finite at step" in message
    assert "Lower learning_rate" in message
    assert command_line.done == kept
    assert (command_line.task / "run" / "stages" / f"{stage}.partial").is_dir()


def test_after_the_mistake_is_mended_the_run_goes_on_from_what_was_done(command_line: CommandLine) -> None:
    command_line.refusal("prediction.learning_rate=1e30", "prediction.epochs=5")
    run = words.run(words.read(command_line.task, *words.SMALL))
    assert run.skipped == ["data", "teacher", "initialize"]
    assert run.ran == ["prediction", "evaluate"]


def test_a_mistake_in_a_finished_run_loses_nothing(
    command_line: CommandLine, finished: words.Run, run: Path
) -> None:
    task = finished.folder.parent
    before = words.contents(run)
    for override in ("task.name=phrases", "student.layer_map=[1, 9]", "data.max_length_tokens=49"):
        arguments = ["--set", f"output={run}", "--set", override]
        assert main(["run", str(task / "recipe.toml"), *arguments]) == 2
    after = words.contents(run)
    assert {**after, "recipe.toml": b""} == {**before, "recipe.toml": b""}
