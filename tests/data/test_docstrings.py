from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import random
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from bertling.data import docstrings
from bertling.data.docstrings import (
    LIBRARIES,
    DocstringData,
    docstring_fingerprint,
    read_docstrings,
    read_folder,
)
from bertling.data.examples import Examples
from bertling.errors import DataError, MissingExtraError

MODULES = 20
PER_MODULE = 4
ORDINALS = [first + second for first in "bcdfghklmn" for second in "aeio"]


@pytest.fixture
def libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with eight invented libraries, each of 20 modules with four sentences."""
    for library in LIBRARIES:
        for module in range(MODULES):
            body = [f"{_sentence(library, module, index)}" for index in range(PER_MODULE)]
            _write(tmp_path / library / f"module_{module:02}.py", "\n\n".join(body))
    monkeypatch.setattr(docstrings, "library_folder", lambda library: tmp_path / library)
    return tmp_path


def _sentence(library: str, module: int, index: int) -> str:
    word = "".join(chr(ord(letter) + 1) for letter in library)  # not a name that is masked
    return f"Sentence {ORDINALS[index]} of module {ORDINALS[module]} in {word} ends here."


def _write(path: Path, docstring: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'"""{docstring}"""\n\nraise RuntimeError("this module must not run")\n', encoding="utf-8"
    )


def _read(*, seed: int = 1, train: int = 20, test: int = 8, corpus: int = 1000) -> DocstringData:
    return read_docstrings(seed=seed, train_per_class=train, test_per_class=test, corpus_texts=corpus)


def _splits(data: DocstringData) -> Iterator[Examples]:
    yield from (data.train, data.validation, data.test)


def _module(text: str) -> str:
    found = re.search(r"of module (\w+ in \w+)", text)
    assert found is not None
    return found[1]


def test_classes_are_balanced_and_labels_are_those_of_the_texts(libraries: Path) -> None:
    data = _read()

    for split, per_class in ((data.train, 20), (data.validation, 8), (data.test, 8)):
        assert split.label_names == list(LIBRARIES)
        assert split.labels is not None
        labels = split.label_array().tolist()
        assert [labels.count(label) for label in range(8)] == [per_class] * 8
        for text, label in zip(split.texts, labels, strict=True):
            assert _module(text) == _module(_sentence(LIBRARIES[label], _module_number(text), 0))


def _module_number(text: str) -> int:
    return ORDINALS.index(_module(text).split()[0])


def test_no_module_is_in_two_splits_and_the_corpus_is_of_training_modules(libraries: Path) -> None:
    data = _read(train=30)
    train, validation, test = ({_module(text) for text in split.texts} for split in _splits(data))

    assert not train & validation
    assert not train & test
    assert not validation & test
    assert len(data.corpus) == 8 * (
        15 * PER_MODULE - 30
    )  # 15 of 20 modules train, of 60 sentences 30 are labelled
    assert not {_module(text) for text in data.corpus} & (validation | test)
    assert not set(data.corpus) & set(data.train.texts)


def test_the_corpus_has_at_most_as_many_texts_as_asked_for(libraries: Path) -> None:
    assert len(_read(corpus=7).corpus) == 7


def test_the_same_seed_gives_the_same_data_and_another_seed_does_not(libraries: Path) -> None:
    first, again, other = _read(seed=5), _read(seed=5), _read(seed=6)

    for field in fields(DocstringData):
        assert getattr(first, field.name) == getattr(again, field.name)
        assert getattr(first, field.name) != getattr(other, field.name)


def test_the_test_set_does_not_depend_on_the_size_of_the_training_set(libraries: Path) -> None:
    assert _read(train=5).test == _read(train=40).test


def test_a_sentence_of_two_libraries_is_dropped_and_one_repeated_in_a_library_is_kept_once(
    libraries: Path,
) -> None:
    for library, shared in (
        ("numpy", "Both libraries say this here."),
        ("scipy", "BOTH libraries say this here!"),
    ):
        for module in range(MODULES):
            repeated = f"The {'LAMP' if module % 2 else 'lamp'} of street {library[0]} is lit again."
            own = "\n\n".join(_sentence(library, module, index) for index in range(PER_MODULE))
            _write(libraries / library / f"module_{module:02}.py", f"{shared}\n\n{repeated}\n\n{own}")

    data = _read()

    texts = [text.lower() for split in _splits(data) for text in split.texts] + [
        text.lower() for text in data.corpus
    ]
    assert not [text for text in texts if text.startswith("both libraries")]
    assert [text for text in texts if "lamp of street n" in text] == ["the lamp of street n is lit again."]
    assert len(texts) == len(set(texts))


def test_folders_of_tests_and_source_that_does_not_parse_are_skipped(libraries: Path) -> None:
    _write(libraries / "torch" / "nested" / "tests" / "module.py", "This sentence belongs to a test suite.")
    (libraries / "torch" / "template.py").write_text(
        '"""This sentence is in a template."""\n{% if lit %}', "utf-8"
    )
    _write(libraries / "torch" / "nested" / "module.py", "This sentence is in a nested module.")

    found = read_folder(libraries / "torch", random.Random(1))

    assert found["nested/module.py"] == ["This sentence is in a nested module."]
    assert len(found) == MODULES + 1


def test_invalid_escapes_in_the_source_do_not_warn(libraries: Path, recwarn: pytest.WarningsRecorder) -> None:
    _write(
        libraries / "torch" / "module_00.py",
        "This sentence has a backslash \\d in it.\n\nAnd this one has none at all.",
    )

    found = read_folder(libraries / "torch", random.Random(1))

    assert found["module_00.py"] == ["And this one has none at all."]
    assert not recwarn.list


def test_docstrings_of_classes_functions_and_added_documentation_are_read(libraries: Path) -> None:
    source = '''
import numpy as np

class Lantern:
    """A lantern for the dark evenings."""

    async def light(self):
        """Light it with a long match."""

if True:
    def wick():
        """The wick that soaks up oil."""

np.add_newdoc("lantern", ("glass", """
    The glass that keeps the wind out.
    """))
print("""
    This text is no documentation at all.
    """)
'''
    (libraries / "numpy" / "lantern.py").write_text(source, "utf-8")

    found = read_folder(libraries / "numpy", random.Random(1))

    assert found["lantern.py"] == [
        "A lantern for the dark evenings.",
        "Light it with a long match.",
        "The wick that soaks up oil.",
        "The glass that keeps the wind out.",
    ]


def test_asking_for_too_many_names_the_library_and_how_many_there_are(libraries: Path) -> None:
    for module in range(10):
        (libraries / "datasets" / f"module_{module:02}.py").unlink()

    with pytest.raises(
        DataError, match=r"train_per_class = 50.*installed datasets gives only 3\d train sentences"
    ):
        _read(train=50, test=4)
    with pytest.raises(DataError, match=r"test_per_class = 5, .*datasets gives only 4 test sentences"):
        _read(test=5)


def test_a_library_that_is_not_installed_is_named_with_the_extra_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(MissingExtraError, match=r"'pandas', which is not installed.*bertling\[quickstart\]"):
        docstrings.library_folder("pandas")


def test_the_fingerprint_changes_with_the_version_of_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("torch", "numpy", "scipy", "scikit-learn", "transformers", "pandas", "datasets")
    versions = dict.fromkeys(names, "1.0")
    monkeypatch.setattr(importlib.metadata, "version", versions.__getitem__)
    before = docstring_fingerprint()
    versions["scikit-learn"] = "1.1"

    assert re.fullmatch("[0-9a-f]{64}", before)
    assert docstring_fingerprint() != before


def test_the_fingerprint_names_a_library_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "datasets":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(MissingExtraError, match="'datasets'"):
        docstring_fingerprint()


@pytest.mark.slow
def test_the_installed_libraries_give_balanced_sentences_that_name_no_library() -> None:
    if missing := [
        library for library in LIBRARIES if importlib.util.find_spec(library) is None and library != "python"
    ]:
        reason = f"not installed: {', '.join(missing)}"
        if os.environ.get("CI"):
            pytest.fail(f"{reason}; CI must have them")
        pytest.skip(reason)
    data = read_docstrings(seed=1, train_per_class=1000, test_per_class=250, corpus_texts=10_000)

    assert (len(data.train), len(data.test), len(data.corpus)) == (8000, 2000, 10_000)
    assert len(data.validation) >= 8 * 150
    texts = [text for split in _splits(data) for text in split.texts] + data.corpus
    names = re.compile(
        "torch|numpy|scipy|sklearn|scikit-learn|pandas|transformers|datasets|python|hugging ?face", re.I
    )
    assert not [text for text in texts if names.search(text)]
    assert len({text.lower() for text in texts}) == len(texts)
