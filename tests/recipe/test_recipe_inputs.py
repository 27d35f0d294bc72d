from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from bertling.errors import RecipeError
from bertling.recipe import Recipe, load_recipe
from bertling.recipe.inputs import check_inputs


@pytest.fixture
def load(write_recipe: Callable[[str], Path], minimal: str) -> Callable[..., Recipe]:
    path = write_recipe(minimal)
    return lambda *overrides: load_recipe(path, overrides)


def missing(recipe: Recipe) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        check_inputs(recipe)
    return caught.value.problems


def test_names_on_a_hub_are_not_looked_up(load: Callable[..., Recipe]) -> None:
    check_inputs(load("data.builtin=none", "data.hub=owner/data", "teacher.model=owner/teacher"))


@pytest.mark.parametrize(
    ("overrides", "package", "extra"),
    [
        (["data.builtin=none", "data.hub=owner/data"], "datasets", "hub"),
        (["seed=1"], "pandas", "quickstart"),
        (
            ["data.builtin=none", "data.hub=owner/data", 'report_to=["tensorboard"]'],
            "tensorboard",
            "tracking",
        ),
    ],
)
def test_an_extra_that_is_not_installed_is_named(
    load: Callable[..., Recipe],
    monkeypatch: pytest.MonkeyPatch,
    overrides: list[str],
    package: str,
    extra: str,
) -> None:
    recipe = load(*overrides)
    installed = importlib.util.find_spec

    def find_spec(name: str) -> ModuleSpec | None:
        return None if name == package else installed(name)

    monkeypatch.setattr("bertling.recipe.inputs.find_spec", find_spec)
    monkeypatch.setattr("importlib.util.find_spec", find_spec)

    (problem,) = missing(recipe)
    assert f"'{package}'" in problem
    assert f"pip install 'bertling[{extra}]'" in problem


def test_all_that_is_missing_is_reported_at_once(load: Callable[..., Recipe], tmp_path: Path) -> None:
    problems = missing(
        load(
            "data.builtin=none",
            f"data.train={tmp_path / 'train.tsv'}",
            f"data.test={tmp_path / 'test.tsv'}",
            f"general.corpus={tmp_path / 'corpus.txt'}",
            "teacher.model=package:no_such_package",
        )
    )

    assert problems == [
        f"[data] train: no file {tmp_path / 'train.tsv'}",
        f"[data] test: no file {tmp_path / 'test.tsv'}",
        f"[general] corpus: no file or folder {tmp_path / 'corpus.txt'}",
        "[teacher] model: no installed package 'no_such_package'; try pip install no-such-package",
    ]


def test_files_that_are_there_are_enough(load: Callable[..., Recipe], tmp_path: Path) -> None:
    for name in ("train.tsv", "test.tsv", "corpus.txt"):
        (tmp_path / name).touch()

    check_inputs(
        load(
            "data.builtin=none",
            f"data.train={tmp_path / 'train.tsv'}",
            f"data.test={tmp_path / 'test.tsv'}",
            f"general.corpus={tmp_path / 'corpus.txt'}",
            "teacher.model=package:pydantic",
        )
    )


def test_a_glue_folder_holds_the_files_of_its_task(load: Callable[..., Recipe], tmp_path: Path) -> None:
    recipe = load("task.name=mnli", "data.builtin=none", f"data.folder={tmp_path / 'MNLI'}")

    (problem,) = missing(recipe)
    assert problem.startswith(
        f"[data] folder: no folder {tmp_path / 'MNLI'}; give the place of the mnli files"
    )

    (tmp_path / "MNLI").mkdir()
    (tmp_path / "MNLI" / "train.tsv").touch()
    assert missing(recipe) == [
        f"[data] folder: no file {tmp_path / 'MNLI' / file}"
        for file in ("dev_matched.tsv", "dev_mismatched.tsv")
    ]

    for file in ("dev_matched.tsv", "dev_mismatched.tsv"):
        (tmp_path / "MNLI" / file).touch()
    check_inputs(recipe)


@pytest.mark.parametrize(
    "model", ["./teacher", "../teacher", "/nowhere/teacher", "~/teacher", "runs/x/teacher"]
)
def test_a_model_that_can_only_be_a_folder_has_to_be_there(load: Callable[..., Recipe], model: str) -> None:
    (problem,) = missing(load(f"teacher.model={model}"))

    assert problem.startswith("[teacher] model: no folder ")
    assert problem.endswith("expected a folder, a hub name, or package:NAME")


def test_a_model_folder_needs_a_config(load: Callable[..., Recipe], tmp_path: Path) -> None:
    recipe = load("student.preset=none", f"student.model={tmp_path}")

    assert missing(recipe) == [f"[student] model: no file {tmp_path / 'config.json'}"]

    (tmp_path / "config.json").touch()
    check_inputs(recipe)
