from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from bertling.errors import RecipeError
from bertling.recipe import dump_recipe, list_recipes, load_recipe
from bertling.recipe.section import TermName

Write = Callable[[str], Path]


def problems_of(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, overrides)
    assert "pydantic" not in str(caught.value)
    assert "Value error" not in str(caught.value)
    return caught.value.problems


def test_a_minimal_recipe_gets_the_defaults(write_recipe: Write, minimal: str) -> None:
    recipe = load_recipe(write_recipe(minimal))

    assert recipe.seed == 42
    assert recipe.teacher.learning_rate == 3e-5
    assert recipe.prediction.terms == {"prediction": 1.0}
    assert recipe.general is None
    assert recipe.folder == Path("runs/minimal")


def test_a_byte_order_mark_is_no_part_of_the_recipe(tmp_path: Path, minimal: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(minimal, encoding="utf-8-sig")

    assert load_recipe(path).name == "minimal"


def test_all_problems_are_reported_at_once_each_with_its_key_value_and_expectation(
    write_recipe: Write,
) -> None:
    path = write_recipe(
        """
        name = "two words"
        seed = "x"
        threads = true
        genral = 1
        evaluate = 3
        [task]
        name = 7
        [data]
        builtin = "docstring"
        max_length_tokens = 2
        train_examples = 1.5
        [teacher]
        learning_rate = "fast"
        epochs = inf
        compile = 1
        [student]
        source_layers = [1, 0]
        layer_map = [1, "x"]
        wdith = 192
        [intermediate]
        terms = { hiden = 1.0, hidden = -1.0 }
        [prediction]
        terms = [1]
        """
    )

    *names, last = (f"'{name}'" for name in get_args(TermName))
    terms = f"{', '.join(names)} or {last}"
    assert sorted(problems_of(path)) == sorted(
        [
            'name: got "two words"; expected letters, digits, ".", "_" and "-", '
            'beginning with a letter or a digit; with a "/" it is two such names',
            'seed: got "x"; expected a whole number',
            "threads: got true; expected a whole number",
            "[task] name: got 7; expected a string (in quotes)",
            "[data] builtin: got \"docstring\"; expected 'docstrings'; did you mean docstrings?",
            "[data] max_length_tokens: got 2; expected a number greater than or equal to 4",
            "[data] train_examples: got 1.5; expected a whole number",
            "[teacher] epochs: got Infinity; expected a finite number",
            '[teacher] learning_rate: got "fast"; expected a number',
            "[teacher] compile: got 1; expected true or false",
            "[student] source_layers[1]: got 0; expected a number greater than 0",
            '[student] layer_map: got [1, "x"]; expected uniform, top, bottom, '
            "or a list: the teacher layer for each student layer",
            "[student] wdith: unknown key (got 192); did you mean width?",
            f'[intermediate] terms.hiden: got "hiden"; expected {terms}; did you mean hidden?',
            "[intermediate] terms.hidden: got -1.0; expected a number greater than or equal to 0",
            "[prediction] terms: got [1]; expected a table",
            "[evaluate]: got 3; expected a section",
            "genral: unknown key (got 1); did you mean general?",
        ]
    )


def test_the_message_counts_the_problems_and_names_the_file(write_recipe: Write, minimal: str) -> None:
    path = write_recipe(minimal.replace("[prediction]", "[prediction]\nbatch_size = 0\nlog_steps = 0"))

    with pytest.raises(RecipeError) as caught:
        load_recipe(path)

    first, *lines = str(caught.value).splitlines()
    assert first == f"{path}: 2 problems"
    assert len(lines) == 2


def test_an_empty_recipe_lacks_its_name_and_every_section_that_a_recipe_has(write_recipe: Write) -> None:
    problems = problems_of(write_recipe(""))

    assert [problem.split(":")[0] for problem in problems] == [
        "name",
        "[task]",
        "[data]",
        "[teacher]",
        "[student]",
        "[prediction]",
    ]
    assert all("missing" in problem for problem in problems)


@pytest.mark.parametrize(
    ("section", "key", "advice"),
    [
        (
            "student",
            "learning_rate",
            "learning_rate is a key of [teacher] [general] [intermediate] [prediction]",
        ),
        ("student", "learning_rat", "did you mean learning_rate, a key of [teacher] [general]"),
        ("data", "layers", "layers is a key of [student]"),
        ("report", "qqqqq", "expected one of disagreements"),
    ],
)
def test_an_unknown_key_is_looked_for_in_the_other_sections_too(
    write_recipe: Write, minimal: str, section: str, key: str, advice: str
) -> None:
    (problem,) = problems_of(write_recipe(minimal), f"{section}.{key}=1")

    assert problem.startswith(f"[{section}] {key}: unknown key (got 1); {advice}")


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (
            ["data.hub=a/b"],
            "[data] give exactly one of folder, train and test, hub, builtin; got hub and builtin",
        ),
        (["data.builtin=none", "data.train=a.tsv"], "[data] train and test go together"),
        (["student.layers=3"], "[student] give exactly one of preset, model, or layers"),
        (
            ["student.preset=none", "student.layers=3"],
            "[student] a shape needs layers, width, heads and ffn; width",
        ),
        (["general.terms.prediction=1"], "[general] terms: the general stage has no head"),
        (
            ["prediction.terms.prediction=0"],
            "[prediction] terms: at least one term needs a weight above zero",
        ),
        (["student.model=x"], "[student] give exactly one of preset, model, or layers"),
        (["student.model=x", "student.ffn=8"], "[student] give exactly one of preset, model, or layers"),
        (
            ["student.preset=none", "student.model=x", "student.ffn=8", "student.initialization=random"],
            "[student] initialization random takes nothing of model",
        ),
        (["task.name=sst2", "task.metric=f1"], "[task] sst2 is a GLUE task and brings its own metric"),
        (
            ["data.builtin=none", "data.folder=x"],
            "[data] folder holds a GLUE task, but [task] name is 'colour'",
        ),
        (
            ["data.builtin=none", "data.hub=a/b", "general.epochs=1"],
            "[general] corpus or corpus_hub is missing",
        ),
        (
            ["student.preset=none", "student.model=x", "general.epochs=1"],
            "[student] model exists already, so nothing is left for [general]",
        ),
    ],
)
def test_keys_that_do_not_go_together_are_a_problem_of_their_section(
    write_recipe: Write, minimal: str, overrides: list[str], problem: str
) -> None:
    (got,) = problems_of(write_recipe(minimal), *overrides)

    assert got.startswith(problem)


def test_a_student_that_exists_may_be_made_smaller_by_any_of_its_sizes(
    write_recipe: Write, minimal: str
) -> None:
    there = load_recipe(write_recipe(minimal), ["student.preset=none", "student.model=x"])
    smaller = load_recipe(write_recipe(minimal), ["student.preset=none", "student.model=x", "student.ffn=8"])
    assert [there.student.makes_smaller, smaller.student.makes_smaller] == [False, True]


@pytest.mark.parametrize("key", ["source_layers", "layer_map"])
def test_a_list_of_teacher_layers_has_one_for_each_student_layer(
    write_recipe: Write, minimal: str, key: str
) -> None:
    shape = ["preset=none", "layers=3", "width=24", "heads=2", "ffn=48"]
    overrides = [f"student.{part}" for part in (*shape, f"{key}=[2, 4]")]

    (problem,) = problems_of(write_recipe(minimal), *overrides)

    assert problem == f"[student] {key} names 2 teacher layers for a student of 3 layers"


def test_a_syntax_error_names_the_line_and_quotes_it(write_recipe: Write) -> None:
    (problem,) = problems_of(write_recipe('name = "x"\nseed 42\n'))

    assert problem.startswith("not TOML: ")
    assert "line 2, column 6" in problem
    assert problem.endswith(": seed 42")


def test_a_file_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes('name = "Löß"'.encode("latin-1"))

    (problem,) = problems_of(path)

    assert "expected a text file in UTF-8" in problem


def test_a_missing_file_names_the_place_and_the_nearest_shipped_recipe(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path / "quikstart.toml")

    assert problem == (
        f"no file {tmp_path / 'quikstart.toml'}; shipped recipes: "
        f"{', '.join(name for name, _ in list_recipes())}; "
        "did you mean the shipped recipe quickstart?"
    )


def test_a_name_that_is_not_shipped_names_those_that_are() -> None:
    with pytest.raises(RecipeError, match=r"there are chunking, quickstart, .*; did you mean quickstart\?"):
        load_recipe("quikstart")
    with pytest.raises(
        RecipeError, match=r"there are chunking, quickstart, .*; .* a path that ends in \.toml"
    ):
        load_recipe("zzzz")


@pytest.mark.parametrize("name", [name for name, _ in list_recipes()])
def test_what_is_dumped_loads_to_an_equal_recipe(tmp_path: Path, name: str) -> None:
    recipe = load_recipe(
        name, ["student.layer_map=[1, 3, 6]", "output=elsewhere/run", 'report_to=["tensorboard"]']
    )
    path = tmp_path / "resolved.toml"
    path.write_text(dump_recipe(recipe), encoding="utf-8")

    assert load_recipe(path) == recipe
    assert load_recipe(path, ["seed=43"]) != recipe


def test_a_dump_writes_the_defaults_out(write_recipe: Write, minimal: str) -> None:
    dumped = dump_recipe(load_recipe(write_recipe(minimal)))

    assert "seed = 42" in dumped
    assert "warmup_fraction = 0.1" in dumped
    assert "[general]" not in dumped
