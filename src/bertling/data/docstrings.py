"""The built-in data set: which library does this sentence of documentation come from?

Real text that every installation has: the documentation strings of the libraries that bertling stands on
and of Python's standard library, read from their source. Nothing is imported or run.
"""

from __future__ import annotations

import ast
import gc
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import random
import re
import sysconfig
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bertling.data.docstring_text import sentences
from bertling.data.examples import Examples
from bertling.errors import DataError, MissingExtraError

LIBRARIES: tuple[str, ...] = (
    "torch",
    "numpy",
    "scipy",
    "sklearn",
    "transformers",
    "pandas",
    "datasets",
    "python",
)
"""The classes, in the order of their ids; python is the standard library."""

_EXTRACTION_VERSION = 1  # raise it when a change here or in docstring_text changes the sentences
_SOURCE_BYTES = 4_000_000  # of each library, so that reading all of them takes seconds
_TEST_FRACTION = 0.15
_VALIDATION_FRACTION = 0.1
_SKIPPED_FOLDERS = frozenset(
    {"test", "tests", "testing", "_testing", "externals", "vendor", "_vendor", "extern", "site-packages"}
    | {"dist-packages", "idlelib", "lib2to3", "ensurepip"}
)
_ADDS_DOCUMENTATION = re.compile(r"_?add_(?:new)?doc(?:str)?")


@dataclass(frozen=True, slots=True)
class DocstringData:
    """Labelled sentences, and unlabelled ones for the general stage.

    No module has sentences in two of the splits, and no sentence occurs twice.

    Attributes:
        train: equally many sentences of each class; the label is the index in ``LIBRARIES``.
        validation: the same, for the choice of hyper-parameters.
        test: the same, for the figures that are reported.
        corpus: other sentences of the training modules.
    """

    train: Examples
    validation: Examples
    test: Examples
    corpus: list[str]


def read_docstrings(
    *, seed: int, train_per_class: int, test_per_class: int, corpus_texts: int
) -> DocstringData:
    """Read the data set from the installed libraries: the same for the same seed and versions.

    Modules, not sentences, are split: about 75 % of a library's sentences are for training, 10 % for
    validation, 15 % for testing. Sentences that occur in two libraries are left out.

    Args:
        seed: of the draws.
        train_per_class: training sentences of each class.
        test_per_class: test sentences of each class; validation has as many, or the most that leave its
            classes balanced where there are fewer.
        corpus_texts: unlabelled sentences, at most.

    Raises:
        MissingExtraError: one of the libraries is not installed.
        DataError: a library has fewer sentences than asked for.
    """
    folders = [library_folder(library) for library in LIBRARIES]
    rng = random.Random(seed)
    collecting = gc.isenabled()
    gc.disable()  # syntax trees have no cycles, and collecting among so many nodes takes as long as parsing
    try:
        modules = _without_duplicates([read_folder(folder, rng) for folder in folders])
    finally:
        if collecting:
            gc.enable()
    train, validation, test = zip(*(_split(library, rng) for library in modules), strict=True)
    for name, count, pools in (("train", train_per_class, train), ("test", test_per_class, test)):
        fewest = min(range(len(LIBRARIES)), key=lambda label: len(pools[label]))
        if len(pools[fewest]) < count:
            raise DataError(
                f"{name}_per_class = {count}, but the documentation of the installed {LIBRARIES[fewest]} "
                f"gives only {len(pools[fewest])} {name} sentences: ask for at most so many"
            )
    validation_per_class = min(test_per_class, *map(len, validation))
    # The test set first: it stays the same whatever the other sizes.
    test_examples = _labelled(test, test_per_class, rng)
    validation_examples = _labelled(validation, validation_per_class, rng)
    train_examples = _labelled(train, train_per_class, rng)
    corpus = [sentence for pool in train for sentence in pool[train_per_class:]]
    rng.shuffle(corpus)
    return DocstringData(
        train=train_examples, validation=validation_examples, test=test_examples, corpus=corpus[:corpus_texts]
    )


def docstring_fingerprint() -> str:
    """SHA-256 over what decides the data set besides its arguments: the versions of libraries and extraction.

    Raises:
        MissingExtraError: one of the libraries is not installed.
    """
    versions = [f"extraction {_EXTRACTION_VERSION}", f"python {platform.python_version()}"]
    for library in LIBRARIES[:-1]:
        try:
            versions.append(f"{library} {importlib.metadata.version(_distribution(library))}")
        except importlib.metadata.PackageNotFoundError:
            raise _missing(library) from None
    return hashlib.sha256("\n".join(versions).encode()).hexdigest()


def library_folder(library: str) -> Path:
    """The folder with the library's source; a library is found without being imported.

    Raises:
        MissingExtraError: it is not installed.
    """
    if library == "python":
        return Path(sysconfig.get_paths()["stdlib"])
    found = importlib.util.find_spec(library)
    if found is None or found.origin is None:
        raise _missing(library)
    return Path(found.origin).parent


def read_folder(folder: Path, rng: random.Random) -> dict[str, list[str]]:
    """Module path -> its sentences, for a random sample of the modules under a folder, in random order."""
    paths = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _SKIPPED_FOLDERS]  # do not go down there
        relative = Path(parent).relative_to(folder)
        paths += [(relative / name).as_posix() for name in files if name.endswith(".py")]
    paths.sort()
    rng.shuffle(paths)
    modules = {}
    budget = _SOURCE_BYTES
    for path in paths:
        source = (folder / path).read_bytes()
        budget -= len(source)
        if budget < 0:
            break
        try:
            with warnings.catch_warnings():  # invalid escapes in other people's source
                warnings.simplefilter("ignore")
                tree = ast.parse(source)
        except (SyntaxError, ValueError):  # a template, or source for another Python
            continue
        modules[path] = [sentence for text in _documentation(tree) for sentence in sentences(text)]
    return modules


def _distribution(library: str) -> str:
    return "scikit-learn" if library == "sklearn" else library


def _missing(library: str) -> MissingExtraError:
    return MissingExtraError(_distribution(library), extra="quickstart", needed_for="The docstrings data set")


def _documentation(tree: ast.Module) -> Iterator[str]:
    """The docstrings of a module, its classes and functions, and strings given to add_docstr and its like."""
    pending: list[ast.stmt | ast.Module] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if text := ast.get_docstring(node, clean=False):
                yield text
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            function = node.value.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            if _ADDS_DOCUMENTATION.fullmatch(name):
                for part in ast.walk(node.value):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str) and "\n" in part.value:
                        yield part.value
        pending.extend(reversed(getattr(node, "body", [])))


def _without_duplicates(libraries: list[dict[str, list[str]]]) -> list[dict[str, list[str]]]:
    """Each sentence once; none that occurs in two libraries. Case, digits and punctuation do not count."""
    holders = Counter(
        key for modules in libraries for key in {_key(text) for texts in modules.values() for text in texts}
    )
    seen: set[str] = set()
    kept: list[dict[str, list[str]]] = []
    for modules in libraries:
        kept.append({})
        for module, texts in modules.items():
            kept[-1][module] = []
            for text in texts:
                key = _key(text)
                if holders[key] == 1 and key not in seen:
                    seen.add(key)
                    kept[-1][module].append(text)
    return kept


def _key(sentence: str) -> str:
    return " ".join(re.findall("[a-z]+", sentence.lower()))


def _split(modules: dict[str, list[str]], rng: random.Random) -> tuple[list[str], list[str], list[str]]:
    """Whole modules for training, validation and testing; each of the three shuffled."""
    total = sum(map(len, modules.values()))
    train: list[str] = []
    validation: list[str] = []
    test: list[str] = []
    for texts in modules.values():  # in random order already
        if len(test) + len(texts) <= _TEST_FRACTION * total:
            test += texts
        elif len(validation) + len(texts) <= _VALIDATION_FRACTION * total:
            validation += texts
        else:
            train += texts
    for pool in (test, validation, train):
        rng.shuffle(pool)
    return train, validation, test


def _labelled(pools: tuple[list[str], ...], per_class: int, rng: random.Random) -> Examples:
    pairs = [(text, label) for label, pool in enumerate(pools) for text in pool[:per_class]]
    rng.shuffle(pairs)
    return Examples(
        texts=[text for text, _ in pairs],
        text_pairs=None,
        labels=[label for _, label in pairs],
        label_names=list(LIBRARIES),
    )
