"""What is fuzzed: for each reader of foreign files, valid inputs to start from and what is done with one."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import save
from tests import tiny
from tests.inference.graphs import BASE, write_folder
from tests.models.downloads import download, weights
from tests.report.conftest import results as report_results

from bertling.augmentation.word_vectors import WordVectors
from bertling.cli.report import report
from bertling.data.corpus import read_corpus
from bertling.data.examples import Examples
from bertling.data.loading import read_examples
from bertling.data.soft_labels import read_soft_train
from bertling.data.tables import read_columns
from bertling.files import digest_of_weights
from bertling.inference.inputs import read_texts
from bertling.inference.predictor import Predictor
from bertling.models.original import import_original
from bertling.models.teacher import load_classifier, load_encoder, load_tokenizer
from bertling.recipe import dump_recipe, load_recipe
from bertling.recipe.catalog import recipe_names, recipe_path
from bertling.serving.app import create_app
from bertling.serving.limits import Limits
from bertling.tasks import Task

TASKS = (
    Task("classes"),
    Task("named", labels={"0": "red", "1": "blue"}),
    Task("pairs", text_pair="pair"),
    Task("number", regression=True, metric="spearman"),
    Task("several", multi_label=True, metric="micro_f1"),
    Task("words", text="words", label="labels", word_labels=True, metric="chunk_f1"),
    Task(
        "answers",
        text="question",
        text_pair="context",
        label="answers",
        question_answering=True,
        unanswerable=True,
        metric="answer_f1",
    ),
)
CLASSES, NAMED, PAIRS, NUMBER, SEVERAL, WORDS, ANSWERS = range(len(TASKS))
_SOFT = {"red": "p_red", "blue": "p_blue"}

_DELIMITED = (
    "text{0}label{0}pair{0}p_red{0}p_blue\na man{0}0{0}a dog{0}0.9{0}0.1\nth\u00e9{0}1{0}it{0}0{0}1\n"
)
_ANSWER = {"question": "who", "context": "a man ran", "answers": [{"text": "man", "answer_start": 2}]}
_OBJECTS: list[dict[str, Any]] = [
    {"text": "a man", "label": 0, "pair": "b", "p_red": 0.4, "p_blue": 0.6, "words": ["a", "b"]},
    {"text": "the \\u00e9", "label": 1, "pair": "c", "p_red": 1, "p_blue": 0, "words": ["c"]},
]
_OBJECTS = [
    {**row, **_ANSWER, "labels": ["X"] * len(row["words"])}
    if not row["label"]
    else {**row, **_ANSWER, "labels": ["O"] * len(row["words"]), "answers": []}
    for row in _OBJECTS
]
_SQUAD = {
    "data": [
        {
            "title": "t",
            "paragraphs": [
                {
                    "context": "a man ran",
                    "qas": [
                        {"question": "who", "answers": [{"text": "man", "answer_start": 2}]},
                        {"question": "why", "answers": [], "is_impossible": True},
                    ],
                }
            ],
        }
    ]
}
_CONLL = b"-DOCSTART- -X- O O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\nPeter NNP B-NP B-PER\n"
_VECTORS = "".join(
    f"{word} {index} 0.5 -1e-3 2\n" for index, word in enumerate(["a", "man", "dog", "ran", "far"])
)


@dataclass(frozen=True)
class Target:
    """Something that reads foreign bytes.

    Attributes:
        seeds: valid inputs: variant, kind of task, content.
        read: is given a folder that is empty, the variant, the kind of task and the content.
    """

    seeds: Sequence[tuple[int, int, bytes]]
    read: Callable[[Path, int, int, bytes], object]


def _written(folder: Path, name: str, content: bytes) -> Path:
    file = folder / name
    file.write_bytes(content)
    return file


def _recipe(kept: Path) -> Target:
    def read(folder: Path, variant: int, kind: int, content: bytes) -> None:
        if variant % 2:
            lines = content.decode("utf-8", "surrogateescape").splitlines()
            recipe = load_recipe("quickstart", [line for line in lines if line][:20])
        else:
            recipe = load_recipe(_written(folder, "recipe.toml", content))
        again = load_recipe(_written(folder, "again.toml", dump_recipe(recipe).encode()))
        assert again == recipe or "nan" in dump_recipe(recipe)

    overrides = (
        b"student.width=192\nmethod=pkd\nintermediate.terms.hidden=0.5\ndata.test=none\nstudent.layers=4\n"
    )
    seeds = [(0, 0, recipe_path(name).read_bytes()) for name in recipe_names()]
    return Target([*seeds, (1, 0, overrides)], read)


_TABLE_SUFFIXES = (".tsv", ".csv", ".jsonl", ".tsv.gz", ".jsonl.gz", ".conll", ".json", ".json.gz", ".csv.gz")


def _tables(kept: Path) -> Target:
    def read(folder: Path, variant: int, kind: int, content: bytes) -> None:
        suffix = _TABLE_SUFFIXES[variant % len(_TABLE_SUFFIXES)]
        _examples_of(_written(folder, f"train{suffix}", content), kind)

    lines = "\n".join(map(json.dumps, _OBJECTS)).encode()
    seeds = []
    for variant, suffix in enumerate(_TABLE_SUFFIXES):
        content = {".tsv": _DELIMITED.format("\t").encode(), ".csv": _DELIMITED.format(",").encode()}.get(
            suffix.removesuffix(".gz"), lines
        )
        content = {".conll": _CONLL, ".json": json.dumps(_SQUAD).encode()}.get(
            suffix.removesuffix(".gz"), content
        )
        content = gzip.compress(content) if suffix.endswith(".gz") else content
        kinds = (WORDS,) if suffix == ".conll" else (ANSWERS,) if ".json." in f"{suffix}." else range(16)
        seeds += [(variant, kind, content) for kind in kinds]
    return Target(seeds, read)


def _examples_of(path: Path, kind: int) -> None:
    """As a stage reads them; and what it keeps of them can be written."""
    kind %= 16
    if kind < len(TASKS):
        examples: Any = read_examples(path, TASKS[kind])
    elif kind < 10:
        examples = read_soft_train(path, TASKS[NAMED], _SOFT)
    elif kind < 13:
        manifest = replace(
            BASE, kind="words" if kind == 12 else "classification", pairs=kind == 11, text_pair="pair"
        )
        examples = list(read_texts(path, manifest))
    else:
        examples = read_columns(path, ["text"], optional=["label"], faulty_rows=2).values
    if isinstance(examples, Examples):
        for field in ("texts", "text_pairs", "label_names", "words"):
            json.dumps(getattr(examples, field), ensure_ascii=False).encode()
        json.dumps(examples.labels, allow_nan=False)
    else:
        json.dumps(examples, ensure_ascii=False, default=str)


def _parquet(kept: Path) -> Target:
    def read(folder: Path, variant: int, kind: int, content: bytes) -> None:
        file = _written(folder, "train.parquet", content)
        if variant % 3:
            _examples_of(file, kind % 10)
        else:
            for text in read_corpus(file):
                text.encode()

    seeds = []
    table = pa.table({name: [row[name] for row in _OBJECTS] for name in _OBJECTS[0]})
    for compression in ("none", "snappy", "zstd", "gzip"):
        stream = io.BytesIO()
        pq.write_table(table, stream, compression=compression)
        seeds += [(variant, kind, stream.getvalue()) for variant in (0, 1) for kind in range(10)]
    return Target(seeds, read)


_CORPUS_SUFFIXES = (".txt", ".jsonl", ".txt.gz", ".jsonl.gz", ".txt.zst", ".jsonl.zst")


def _corpus(kept: Path) -> Target:
    def read(folder: Path, variant: int, kind: int, content: bytes) -> None:
        suffix = _CORPUS_SUFFIXES[variant % len(_CORPUS_SUFFIXES)]
        for text in read_corpus(_written(folder, f"corpus{suffix}", content)):
            text.encode()

    text = "a line of text\n\nanother\u2028one\u0000 \u00e9\n" * 3
    seeds = []
    for variant, suffix in enumerate(_CORPUS_SUFFIXES):
        lines = "".join(json.dumps({"text": line}) + "\n" for line in text.splitlines())
        content = (lines if "jsonl" in suffix else text).encode()
        if suffix.endswith(".gz"):
            content = gzip.compress(content)
        if suffix.endswith(".zst"):
            content = pa.compress(content, "zstd", asbytes=True)
        seeds.append((variant, 0, content))
    return Target(seeds, read)


def _vectors(kept: Path) -> Target:
    def read(folder: Path, variant: int, kind: int, content: bytes) -> None:
        file = _written(folder, "vectors.txt.gz" if variant % 2 else "vectors.txt", content)
        vectors = WordVectors.load(file, folder / "cache")
        vectors.nearest(["man", "a", "unknown"], 3)

    headed = f"4 4\n{_VECTORS}".encode()
    return Target([(0, 0, _VECTORS.encode()), (0, 0, headed), (1, 0, gzip.compress(headed))], read)


def _download(kept: Path) -> Target:
    source = download(kept / "download", weights(tiny.encoder()), format="safetensors")
    names = ("config.json", "vocab.txt", "tokenizer_config.json")

    def read(folder: Path, variant: int, kind: int, content: bytes) -> None:
        _copied(source, folder / "source", names[variant % 3], content)
        import_original(folder / "source", folder / "target")

    seeds = [(index, 0, (source / name).read_bytes()) for index, name in enumerate(names[:2])]
    return Target([*seeds, (2, 0, b'{"do_lower_case": true}')], read)


def _weights(kept: Path) -> Target:
    tensors = weights(tiny.encoder(layers=1, width=8, ffn=8, max_position_embeddings=4, vocab_size=8))
    settings: dict[str, Any] = {
        "num_hidden_layers": 1,
        "hidden_size": 8,
        "intermediate_size": 8,
        "vocab_size": 8,
    }
    source = download(kept / "weights", {}, **settings, max_position_embeddings=4)
    (source / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\n")
    (source / "pytorch_model.bin").unlink()

    def read(folder: Path, variant: int, kind: int, content: bytes) -> None:
        name = "model.safetensors" if variant % 2 else "pytorch_model.bin"
        _copied(source, folder / "source", name, content)
        import_original(folder / "source", folder / "target")

    zipped, legacy = io.BytesIO(), io.BytesIO()
    torch.save(tensors, zipped)
    torch.save(tensors, legacy, _use_new_zipfile_serialization=False)
    few = io.BytesIO()
    torch.save({"a": torch.zeros(2)}, few, _use_new_zipfile_serialization=False)
    contents = [(0, zipped.getvalue()), (0, legacy.getvalue()), (0, few.getvalue()), (1, save(tensors))]
    return Target([(variant, 0, content) for variant, content in contents], read)


_MODEL_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")
_INDEX = "model.safetensors.index.json"


def _model(kept: Path) -> Target:
    source = kept / "model"
    tiny.classifier(layers=1, width=8, ffn=8, max_position_embeddings=8).save_pretrained(source)
    tiny.tokenizer().save_pretrained(source)
    # What must never run.
    (source / "evil.py").write_text("open('/tmp/sprung-by-fuzzing', 'w')\nclass Model: ...\n")
    stored = list(tiny.classifier(layers=1).state_dict())
    index = {"metadata": {}, "weight_map": dict.fromkeys(stored, "model.safetensors")}

    def read(folder: Path, variant: int, kind: int, content: bytes) -> None:
        name = (*_MODEL_FILES, _INDEX)[variant % 5]
        _copied(source, folder / "model", name, content)
        if name == _INDEX:
            (folder / "model" / "model.safetensors").rename(folder / "model" / "part.safetensors")
        if name.startswith("tokenizer"):
            load_tokenizer(str(folder / "model"))("a text", truncation=True, max_length=8)
        elif kind % 2:
            load_encoder(str(folder / "model"))
        else:
            load_classifier(str(folder / "model"), label_names=["a", "b"], new_head=bool(kind % 4))

    seeds = [
        (index, kind, (source / name).read_bytes())
        for index, name in enumerate(_MODEL_FILES)
        for kind in (0, 1, 2)
    ]
    return Target([*seeds, (4, 1, json.dumps(index).encode().replace(b'"model.s', b'"part.s'))], read)


_EXPORT_FILES = ("predictor.json", "tokenizer.json", "model.onnx")


def _export(kept: Path) -> Target:
    sources = [write_folder(kept / kind, kind=kind) for kind in ("classification", "words", "regression")]

    def read(folder: Path, variant: int, kind: int, content: bytes) -> None:
        source = sources[kind % 3]
        _copied(source, folder / "export", _EXPORT_FILES[variant % 3], content)
        predictor = Predictor(folder / "export")
        text: Any = ["w1", "w2x"] if predictor.manifest.kind == "words" else "w1 w2 \u00e9"
        predictor.predict([("a", "b") if predictor.manifest.pairs else text])

    seeds = [
        (index, kind, (source / name).read_bytes())
        for kind, source in enumerate(sources)
        for index, name in enumerate(_EXPORT_FILES)
    ]
    return Target(seeds, read)


def _request(kept: Path) -> Target:
    apps = [
        create_app(Predictor(write_folder(kept / f"serve-{kind}", kind=kind)), workers=1, limits=Limits())
        for kind in ("classification", "words")
    ]
    loop = asyncio.new_event_loop()

    async def ask(app: Any, content: bytes, kind: int) -> None:
        headers = [(b"host", b"here"), (b"content-type", b"application/json")]
        path = "/predict"
        if kind % 3 == 1:
            path = "/" + content[:40].decode("latin-1")
        if kind % 3 == 2:
            headers = [(b"host", content[:40]), (b"content-length", content[40:60])]
        scope: dict[str, Any] = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
        }
        scope |= {"raw_path": path.encode(), "query_string": b"", "headers": headers, "server": ("here", 80)}
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await app(scope, receive, send)
        assert sent[0]["status"] != 500, sent
        json.loads(sent[1]["body"])

    def read(folder: Path, variant: int, kind: int, content: bytes) -> None:
        loop.run_until_complete(ask(apps[variant % 2], content, kind))

    texts = json.dumps({"texts": ["w1 w2", "w3"]}).encode(), json.dumps({"texts": [["w1", "w2"]]}).encode()
    return Target([(variant, kind, text) for variant, text in enumerate(texts) for kind in range(3)], read)


def _results(kept: Path) -> Target:
    def read(folder: Path, variant: int, kind: int, content: bytes) -> None:
        if variant % 2:
            (folder / "export" / "int8").mkdir(parents=True)
            _written(folder / "export" / "int8", "export.json", content)
        _written(folder, "results.json", small if variant % 2 else content)
        with redirect_stdout(io.StringIO()):
            report(folder)
        page = (folder / "report.html").read_text(encoding="utf-8")
        assert "<script" not in page.lower()

    made = report_results.__wrapped__()  # type: ignore[attr-defined]
    small = _shortened(made)
    rows = [{"precision": "int8", "size_bytes": 9, "score": 0.9, "largest_logit_difference": 0.1}]
    exported = {"task": "t", "metric": "accuracy", "examples": 9, "score": 0.9, "max_drop": 0.01}
    exported |= {"max_length_tokens": 8, "precisions": [{**rows[0], "label_agreement": 0.9}]}
    exported |= {"environment": json.loads(small)["environment"], "weights_digest": digest_of_weights(kept)}
    return Target([(0, 0, small), (1, 0, json.dumps(exported).encode())], read)


def _shortened(made: Any) -> bytes:
    """The results with short curves, as json that fits the fuzzer's limit."""
    value = json.loads(made.model_dump_json())
    for stage in value.get("stages", {}).values() if isinstance(value.get("stages"), dict) else ():
        if isinstance(stage, dict) and "history" in stage:
            stage["history"] = stage["history"][:3]
    for key in ("history", "histories"):
        if isinstance(value.get(key), dict):
            value[key] = {name: rows[:3] for name, rows in value[key].items()}
    return json.dumps(value).encode()


def _copied(source: Path, folder: Path, name: str, content: bytes) -> None:
    folder.mkdir()
    for file in source.iterdir():
        if file.name != name:
            os.link(file, folder / file.name)
    (folder / name).write_bytes(content)


def cleared(folder: Path) -> Path:
    """The folder, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


# Each is given a folder that stays, for what its seeds are made in.
TARGETS: dict[str, Callable[[Path], Target]] = {
    "recipe": _recipe,
    "tables": _tables,
    "parquet": _parquet,
    "corpus": _corpus,
    "vectors": _vectors,
    "download": _download,
    "weights": _weights,
    "model": _model,
    "export": _export,
    "request": _request,
    "results": _results,
}
